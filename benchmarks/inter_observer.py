"""How well two people agree: DSC and surface distances between two annotators of the same 35 scans, per organ.

    python benchmarks/inter_observer.py DATA/tcia-oars

The yardstick for every model: agreement between people needs not be beaten. Data: Nikolov et al. 2021, CC BY 4.0 (docs/inter-observer.md).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))

from focusnet.datasets.bit_masks import read_bit_mask
from focusnet.datasets.tcia_oars import ANNOTATORS
from focusnet.evaluate import OrganScores, summarise
from focusnet.metrics import dice, surface_distances, volume_ml
from focusnet.organs import find_organ

TOLERANCE_MM = 2.0


def main() -> None:
    root = Path(sys.argv[1])
    index = json.loads((root / "dataset.json").read_text())
    rows: list[OrganScores] = []
    for case in sorted(p.name.split(".")[0] for p in (root / "oncologist").iterdir()):
        rows.extend(compare(root, case, index["bits"]))
        print(f"\r{case}", end="", file=sys.stderr, flush=True)
    print("", file=sys.stderr)
    print(markdown(rows))


def compare(root: Path, case: str, bits: dict[str, int]) -> list[OrganScores]:
    """Scores of one scan; an organ that one of the two did not draw is left out (unknown, not absent)."""
    (a_bits, geometry), (b_bits, _) = (read_bit_mask(root / who / f"{case}.nrrd") for who in ANNOTATORS)
    spacing = geometry.spacing_mm_zyx
    rows = []
    for name, bit in bits.items():
        organ = find_organ(name)
        assert organ is not None, name
        a, b = ((array & np.uint32(1 << bit)) > 0 for array in (a_bits, b_bits))
        if not a.any() or not b.any():
            print(
                f"{case}: {name} was drawn by {'nobody' if not a.any() and not b.any() else 'one of the two'}",
                file=sys.stderr,
            )
            continue
        box = both_box(a | b)
        a, b = a[box], b[box]
        d = surface_distances(a, b, spacing)
        rows.append(
            OrganScores(
                case, organ.name, dice(a, b), d.hd95_average_mm, d.hd95_maximum_mm, d.mean_mm, d.surface_dice(TOLERANCE_MM),
                volume_ml(a, spacing), volume_ml(b, spacing),
            )
        )  # fmt: skip
    return rows


def both_box(mask: np.ndarray) -> tuple[slice, ...]:
    out = []
    for axis in range(3):
        hits = np.flatnonzero(mask.any(axis=tuple(i for i in range(3) if i != axis)))
        out.append(slice(max(0, hits[0] - 1), hits[-1] + 2))
    return tuple(out)


def markdown(rows: list[OrganScores]) -> str:
    lines = [
        f"| organ | scans | DSC | HD95 average, mm | HD95 maximum, mm | mean surface distance, mm | surface DSC at {TOLERANCE_MM:g} mm | volume, ml |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for s in sorted(summarise(rows), key=lambda s: -s.dsc_mean):
        volumes = [(r.volume_predicted_ml + r.volume_reference_ml) / 2 for r in rows if r.organ == s.organ]
        lines.append(
            f"| {s.organ} | {s.cases} | {s.dsc_mean:.3f} ± {s.dsc_sd:.3f} | {s.hd95_average_mm:.2f} ± {s.hd95_average_sd:.2f} "
            f"| {s.hd95_maximum_mm:.2f} | {s.mean_surface_distance_mm:.2f} | {s.surface_dsc:.3f} | {np.mean(volumes):.2f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
