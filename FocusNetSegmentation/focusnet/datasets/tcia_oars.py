"""Read the contours of tcia-oars (Nikolov et al. 2021, CC BY 4.0): 35 scans, two annotators, one bit mask per scan, no CT."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..errors import DatasetError
from ..image.organs import find_organ
from ..image.segmentation import OrganResult, Segmentation
from .bit_masks import BitMaskFolder, patient_of

ANNOTATORS = ("oncologist", "radiographer")
HELD_OUT = 8  # of the official test split's 28 patients


class TciaOars:
    """Scans of a tcia-oars folder.

    The data set has no training split, so it is divided here by patient: the official validation patients are ``calibrate``; of
    the official test patients the 8 whose names' SHA-256 come first are ``held-out``, the other 20 ``train``. ``0522c0727a`` and
    ``b`` are one patient. Raises DatasetError.
    """

    def __init__(self, folder: Path | str) -> None:
        self.source = BitMaskFolder.open(Path(folder))
        cases, unknown = self.source.cases, self.source.unknown
        if unknown or not {"test", "validation"} <= cases.keys():
            found = f"unknown names {', '.join(unknown)}" if unknown else f"the splits {', '.join(cases) or '(none)'}"
            raise DatasetError(
                f"{folder} has {found}; tcia-oars as it was published is expected, with test and validation."
            )
        self.bits = {o: bit for name, bit in self.source.organs.items() if (o := find_organ(name)) is not None}
        patients = sorted({patient_of(s) for s in cases["test"]}, key=lambda p: hashlib.sha256(p.encode()).hexdigest())
        held_out = set(patients[:HELD_OUT])
        self.scans: dict[str, list[str]] = {
            "train": sorted(s for s in cases["test"] if patient_of(s) not in held_out),
            "calibrate": sorted(cases["validation"]),
            "held-out": sorted(s for s in cases["test"] if patient_of(s) in held_out),
        }

    def segmentations(self, split: str) -> Iterator[tuple[str, str, Segmentation]]:
        """Yield (scan, annotator, contours) of every scan of a split."""
        for scan in self.scans[split]:
            for annotator in ANNOTATORS:
                yield scan, annotator, self.segmentation(scan, annotator)

    def segmentation(self, scan: str, annotator: str, organs: Sequence[str] | None = None) -> Segmentation:
        """Return all organs (or ``organs``) as one upright label map, uint8 (z, y, x).

        Where structures overlap the smaller one wins: the lens lies over the eye.
        """
        drawn = self.source.read(annotator, scan)
        array, geometry = drawn.bits, drawn.geometry
        chosen = {o: bit for o, bit in self.bits.items() if organs is None or o.name in organs}
        places = np.flatnonzero(array & np.uint32(sum(1 << bit for bit in chosen.values())))
        values = array.ravel()[places]
        sizes = {organ: int(((values >> bit) & 1).sum()) for organ, bit in chosen.items()}
        labels = np.zeros(values.shape, np.uint8)
        for organ in sorted(chosen, key=lambda o: -sizes[o]):
            labels[((values >> self.bits[organ]) & 1).astype(bool)] = self.bits[organ] + 1
        out = np.zeros(array.size, np.uint8)
        out[places] = labels
        counts = np.bincount(labels, minlength=256)
        results = tuple(
            OrganResult(organ=organ, label=bit + 1, found=True, volume_ml=float(counts[bit + 1]) * geometry.voxel_ml)
            for organ, bit in chosen.items()
            if counts[bit + 1]
        )
        return Segmentation(out.reshape(array.shape), geometry, results, {"source": f"tcia-oars {scan}, {annotator}"})
