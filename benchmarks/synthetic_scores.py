"""How well bundles trained on painted heads contour variants of held-out painted heads: DSC and distance of centres, organ by organ.

    python benchmarks/synthetic_scores.py PAINTED_TEST BUNDLE [BUNDLE ...] [--variety ordinary] [--seed 0] [--json out.json]

**Simulated CT.** Every bundle sees the same variant of each head. An organ that was not drawn has a DSC of 0 and no distance.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "FocusNetSegmentation"), str(ROOT / "benchmarks")]

from real_landmarks import largest_part  # noqa: E402

import focusnet  # noqa: E402
from focusnet.image.volume import Geometry, Volume  # noqa: E402
from focusnet.metrics import dice  # noqa: E402
from focusnet.simulate.specimen import Specimen, load_specimen  # noqa: E402
from focusnet.simulate.variant import draw_variant  # noqa: E402
from focusnet.simulate.variety import Variety  # noqa: E402

SPACING_MM_ZYX = (3.0, 1.0, 1.0)
VARIETIES: dict[str, Callable[[], Variety]] = {"ordinary": Variety.ordinary, "mild": Variety.mild, "wide": Variety}


def whole_variant(head: Specimen, variety: Variety, seed: int) -> tuple[Volume, dict[str, np.ndarray]]:
    """Return a variant of a whole head and the true mask (z, y, x) of each of its organs."""
    rng = np.random.default_rng((seed, zlib.crc32(head.name.encode())))
    size_mm = np.array(head.geometry.shape_zyx) * head.geometry.spacing_mm_zyx
    z, y, x = (int(n) for n in np.ceil(size_mm / SPACING_MM_ZYX))
    shape = (z // 2 * 2, y // 4 * 4, x // 4 * 4)
    middle = head.geometry.index_to_mm((np.array(head.geometry.shape_zyx) - 1) / 2)
    variant = draw_variant(head, shape, SPACING_MM_ZYX, np.asarray(middle).ravel(), variety, rng)
    geometry = Geometry(shape, SPACING_MM_ZYX[::-1])
    masks = {organ: variant.labels == value for value, organ in enumerate(head.organs, start=1)}
    return Volume(np.rint(variant.hu).astype(np.int16), geometry, head.name), masks


def distance_mm(drawn: np.ndarray, true: np.ndarray) -> float | None:
    """Return the distance between the centre of the largest part drawn and the true centre, None where nothing was drawn."""
    if not drawn.any():
        return None
    offset = np.argwhere(largest_part(drawn)).mean(axis=0) - np.argwhere(true).mean(axis=0)
    return float(np.linalg.norm(offset * SPACING_MM_ZYX))


def scores(
    bundle: focusnet.ModelBundle, heads: list[Specimen], variety: Variety, seed: int
) -> dict[str, list[dict[str, float | None]]]:
    """Return for each organ a row for each head that shows it: ``dsc``, ``mm``."""
    out: dict[str, list[dict[str, float | None]]] = {}
    for head in heads:
        volume, masks = whole_variant(head, variety, seed)
        result = focusnet.segment(volume, bundle, device="cpu")
        for organ in bundle.config.organs:
            if masks[organ].any():
                drawn = result.mask(organ)
                row = {"dsc": float(dice(drawn, masks[organ])), "mm": distance_mm(drawn, masks[organ])}
                out.setdefault(organ, []).append(row)
    return out


def table(found: dict[str, dict[str, list[dict[str, float | None]]]]) -> str:
    """Return mean DSC, and median distance with the number not drawn, for each organ and bundle as a Markdown table."""
    names = list(found)
    lines = ["| organ | " + " | ".join(f"{n}: DSC | off by, mm (median) | not drawn" for n in names) + " |"]
    lines.append("|---" * (1 + 3 * len(names)) + "|")
    for organ in found[names[0]]:
        cells = [organ]
        for name in names:
            rows = found[name][organ]
            near = [row["mm"] for row in rows if row["mm"] is not None]
            cells += [f"{np.mean([r['dsc'] for r in rows]):.3f}", f"{np.median(near):.1f}" if near else "-"]
            cells.append(f"{len(rows) - len(near)} of {len(rows)}")
        lines.append("| " + " | ".join(cells) + " |")
    means = [
        f"{np.mean([np.mean([r['dsc'] for r in rows]) for rows in found[name].values()]):.3f} | | " for name in names
    ]
    return "\n".join([*lines, "| **mean** | " + " | ".join(means) + "|"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("painted", type=Path)
    parser.add_argument("bundles", nargs="+")
    parser.add_argument("--variety", default="ordinary", choices=sorted(VARIETIES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    heads = [load_specimen(path) for path in sorted(args.painted.glob("*.npz"))]
    if not heads:
        sys.exit(f"{args.painted} holds no painted heads (*.npz); make some with synthetic_train.py paint.")
    found = {}
    for name in args.bundles:
        bundle = focusnet.load_bundle(name)
        found[Path(name).name] = scores(bundle, heads, VARIETIES[args.variety](), args.seed)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))
    print(f"{len(heads)} simulated heads, variety {args.variety}, seed {args.seed}\n\n{table(found)}")


if __name__ == "__main__":
    main()
