"""How well two people agree: DSC and surface distances between two annotators of the same 35 scans, per organ.

    python benchmarks/inter_observer.py DATA/tcia-oars
    python benchmarks/inter_observer.py DATA/tcia-oars --spacing-mm 2.5 3.9 3.9 --organs Brainstem,SpinalCord,Parotid_R,Parotid_L,Bone_Mandible

With --spacing-mm both are first resampled to coarser voxels (z, y, x): how well people agree at the resolution of another data set.
The yardstick for every model: agreement between people needs not be beaten. Data: Nikolov et al. 2021, CC BY 4.0 (docs/inter-observer.md).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))

from focusnet.datasets.bit_masks import read_bit_mask
from focusnet.datasets.tcia_oars import ANNOTATORS
from focusnet.evaluation.evaluate import OrganScores
from focusnet.evaluation.score_table import summarise
from focusnet.image.organs import find_organ
from focusnet.image.resample import resample_labels
from focusnet.image.volume import Geometry
from focusnet.metrics import dice, surface_distances, volume_ml

TOLERANCE_MM = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--spacing-mm", type=float, nargs=3, metavar=("Z", "Y", "X"), help="default: the scans' own")
    parser.add_argument("--organs", help="comma-separated (default: all)")
    options = parser.parse_args()
    bits = json.loads((options.data / "dataset.json").read_text())["bits"]
    if options.organs:
        bits = {n: b for n, b in bits.items() if (organ := find_organ(n)) and organ.name in options.organs.split(",")}
    rows: list[OrganScores] = []
    left_out: list[str] = []
    for case in sorted(p.name.split(".")[0] for p in (options.data / "oncologist").iterdir()):
        rows.extend(compare(options.data, case, bits, options.spacing_mm, left_out))
        print(f"\r{case:40s}", end="", file=sys.stderr, flush=True)
    print("", file=sys.stderr)
    print(markdown(rows))
    print(f"\nMean DSC of these organs: {np.mean([s.dsc_mean for s in summarise(rows)]):.3f}")
    if left_out:
        print("\nLeft out:", *(f"- {line}" for line in left_out), sep="\n")


def compare(
    root: Path, case: str, bits: dict[str, int], spacing_mm_zyx: Sequence[float] | None, left_out: list[str]
) -> list[OrganScores]:
    """Scores of one scan; an organ that one of the two did not draw is left out (unknown, not absent)."""
    (a_bits, geometry), (b_bits, _) = (read_bit_mask(root / who / f"{case}.nrrd") for who in ANNOTATORS)
    spacing = tuple(spacing_mm_zyx) if spacing_mm_zyx else geometry.spacing_mm_zyx
    rows = []
    for name, bit in bits.items():
        organ = find_organ(name)
        assert organ is not None, name
        a, b = ((array & np.uint32(1 << bit)) > 0 for array in (a_bits, b_bits))
        if not a.any() or not b.any():
            left_out.append(
                f"{case}: {name} was drawn by {'nobody' if not a.any() and not b.any() else 'one of the two'}"
            )
            continue
        box = both_box(a | b)
        a, b = a[box], b[box]
        if spacing_mm_zyx:
            part = replace(
                geometry, shape_zyx=a.shape, origin_mm_xyz=tuple(geometry.index_to_mm([s.start for s in box]))
            )
            target = coarser(part, spacing_mm_zyx)
            a, b = (resample_labels(mask.astype(np.uint8), part, target) > 0 for mask in (a, b))
            if not a.any() or not b.any():
                left_out.append(f"{case}: {name} lies between the voxels of this grid")
                continue
        d = surface_distances(a, b, spacing)
        rows.append(
            OrganScores(
                case, organ.name, dice(a, b), d.hd95_average_mm, d.hd95_maximum_mm, d.mean_mm, d.surface_dice(TOLERANCE_MM),
                volume_ml(a, spacing), volume_ml(b, spacing),
            )
        )  # fmt: skip
    return rows


def coarser(geometry: Geometry, spacing_mm_zyx: Sequence[float]) -> Geometry:
    """The same axes and first voxel with other voxel sizes; ends at most a voxel behind the last one."""
    size_mm_zyx = np.multiply(np.subtract(geometry.shape_zyx, 1), geometry.spacing_mm_zyx)
    z, y, x = (int(np.ceil(n)) + 1 for n in size_mm_zyx / np.asarray(spacing_mm_zyx))
    return replace(geometry, shape_zyx=(z, y, x), spacing_mm_xyz=tuple(spacing_mm_zyx[::-1]))


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
