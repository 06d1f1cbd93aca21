"""The process that contours for the node: ``python -m focusnet.node.worker``. It lives apart, so that its crash does not end the reception."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import FocusNetError, InputError, OutputError
from ..files.disk import is_full
from ..image.drawn_by import cautions, failures
from ..jobs.serve import serve
from .instance import without_patient
from .spool import RESULT, write_json

if TYPE_CHECKING:
    from ..image.segmentation import Segmentation
    from ..nets.bundle import ModelBundle

COMMAND = (sys.executable, "-m", "focusnet.node.worker")
INPUT, DISK, ERROR = (
    "input",
    "disk",
    "error",
)  # the scan's or the model's fault; no room; anything else, worth another try


def main() -> int:
    bundles: dict[str, tuple[ModelBundle, ...]] = {}
    return serve(lambda job: answer(job, bundles))


def answer(job: Mapping[str, Any], bundles: dict[str, tuple[ModelBundle, ...]]) -> dict[str, Any]:
    """Do a job; return {"ok": true, ...} or {"ok": false, "kind": ..., "reason": one line without a patient's name}."""
    try:
        return {"ok": True, **contour(job, bundles)}
    except OutputError as problem:
        kind, reason = (
            DISK if isinstance(problem.__cause__, OSError) and is_full(problem.__cause__) else ERROR,
            str(problem),
        )
    except FocusNetError as problem:
        kind, reason = ERROR if "Out of memory" in str(problem) else INPUT, str(problem)
    except OSError as problem:
        kind, reason = DISK if is_full(problem) else ERROR, problem.strerror or type(problem).__name__
    except Exception as problem:
        kind, reason = ERROR, " ".join(f"{type(problem).__name__}: {problem}".split())
    file = next(Path(job["scan"]).glob("*.dcm"), None)
    return {"ok": False, "kind": kind, "reason": without_patient(reason, file)[:500]}


def contour(job: Mapping[str, Any], bundles: dict[str, tuple[ModelBundle, ...]]) -> dict[str, Any]:
    """Contour a series and write what was asked for, each file read back and compared before it has its name.

    ``job``: ``scan`` (folder), ``out`` (empty folder), ``uid``, ``rule``, ``content``, ``instances``, ``device``, ``precision``.
    Raises FocusNetError.
    """
    from ..io.read import read_volume
    from ..io.write import write_segmentation

    rule = job["rule"]
    if rule["model"] not in bundles:
        bundles.clear()  # one rule's models at a time: memory is for the scan
        bundles[rule["model"]] = load_model(rule["model"])
    volume = read_volume(Path(job["scan"]), series=job["uid"])
    result = run_model(volume, bundles[rule["model"]], job)
    kept, left_out = found_only(result)
    out = Path(job["out"])
    written = []
    for kind in rule["outputs"]:
        write_segmentation(kept, volume, out / f"{kind}.dcm", kind)
        written.append(f"{kind}.dcm")
    summary = {
        "content": job["content"],
        "instances": job["instances"],
        "model": result.provenance.get("model"),
        "model_sha256": result.provenance.get("bundle_sha256"),
        "cautions": cautions(result.provenance),
        "failed_models": failures(result.provenance),
        "seconds": result.provenance.get("seconds"),
        "found": [r.organ.name for r in kept.results],
        "left_out": left_out,
        "outputs": {name: file_digest(out / name) for name in written},
    }
    write_json(out / RESULT, summary)
    return {key: summary[key] for key in ("seconds", "found", "left_out", "outputs")}


def load_model(name: str) -> tuple[ModelBundle, ...]:
    """Return the bundle of a rule's model, or of several with commas between them. Raises ModelError."""
    from ..nets.several import load_bundles

    return load_bundles(name)


def run_model(volume: Any, bundles: Sequence[ModelBundle], job: Mapping[str, Any]) -> Segmentation:
    """Contour as the job's rule says. Raises InputError."""
    from ..inference.options import SegmentOptions
    from ..inference.segment import segment_scan

    organs = list(job["rule"]["organs"]) or None
    return segment_scan(
        volume, SegmentOptions(bundles, device=job["device"], precision=job["precision"], organs=organs)
    )


def found_only(result: Segmentation) -> tuple[Segmentation, list[str]]:
    """Return the result without the organs that were not localized, and their names. Raises InputError if none is left.

    Their voxels are S-Net's guess; a person at a screen is shown them with a warning, a planning system shows no warning.
    """
    import numpy as np

    kept = tuple(r for r in result.results if r.found)
    left_out = [r.organ.name for r in result.results if not r.found]
    if not kept:
        raise InputError("No organ was found in this series; there is nothing to send.")
    labels = np.where(np.isin(result.labels, [r.label for r in kept]), result.labels, 0).astype(np.uint8)
    return replace(result, labels=labels, results=kept), left_out


def file_digest(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
