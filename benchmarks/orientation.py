"""Count how often the check of the orientation is right: no word on scans that lie right, the right word on scans that are turned.

    python benchmarks/orientation.py DATA/openkbp RUN [--turned 60] [--model han7-openkbp]

Every scan of train and val is contoured as it is; the first N of them (val first) also with front and back reversed, head and feet reversed, and
both, the header unchanged. RUN keeps one JSON file a scan: stopped at any moment, it goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))

from focusnet.image.orientation_doubt import DOUBT
from focusnet.image.volume import Volume
from focusnet.inference.orientation_check import CHECK
from focusnet.inference.segment import segment
from focusnet.inference.turns import AS_IT_IS, FLIPS, turned
from focusnet.io.read import read_volume
from focusnet.nets.bundle import ModelBundle, load_bundle

TURNS = {"as it is": AS_IT_IS, **{turn.words: turn for turn in FLIPS}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--turned", type=int, default=60, metavar="N")
    parser.add_argument("--model", default="han7-openkbp")
    options = parser.parse_args()
    options.run.mkdir(parents=True, exist_ok=True)
    bundle = load_bundle(options.model)
    found: dict[str, list[dict[str, object]]] = {name: [] for name in TURNS}
    for number, path in enumerate(
        [*sorted(options.data.glob("val/*/ct.nrrd")), *sorted(options.data.glob("train/*/ct.nrrd"))]
    ):
        kept = options.run / f"{path.parent.name}.json"
        if not kept.is_file():
            kept.write_text(json.dumps(checked(read_volume(path), bundle, turn=number < options.turned)))
        for name, result in json.loads(kept.read_text()).items():
            found[name].append(result)
    print("| | scans | odd at step 1 | said to be turned | as it is in truth |\n|---|---|---|---|---|")
    for name, results in found.items():
        odd = sum(r["check"] != "nothing suspicious" for r in results)
        said = sum(bool(r["seems"]) for r in results)
        right = sum(r["seems"] == name for r in results)
        print(f"| {name} | {len(results)} | {odd} | {said} | {right if name != 'as it is' else '-'} |")
    for grade, worse in (("warning", {"alarm", "warning"}), ("alarm", {"alarm"})):
        count = sum(bool(worse & set(r["grades"])) for r in found["as it is"])  # type: ignore[call-overload]
        print(f"as they are, scans with {grade} or worse: {count} of {len(found['as it is'])}")


def checked(scan: Volume, bundle: ModelBundle, turn: bool) -> dict[str, dict[str, object]]:
    """Return what the check says of a scan as it is, and of its turned copies where ``turn`` is set."""
    results = {}
    for name, way in TURNS.items() if turn else [("as it is", AS_IT_IS)]:
        copy = turned(scan, way)
        result = segment(Volume(np.ascontiguousarray(copy.array), copy.geometry, scan.source), bundle)
        known = result.provenance
        grades = sorted({organ.grade for organ in result.results})
        results[name] = {"check": known[CHECK], "seems": known.get(DOUBT, {}).get("seems", ""), "grades": grades}
    return results


if __name__ == "__main__":
    main()
