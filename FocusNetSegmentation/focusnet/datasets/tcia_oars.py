"""The contours of tcia-oars (Nikolov et al. 2021, CC BY 4.0): 35 scans, two annotators, one bit mask a scan, no CT."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import DatasetError
from ..organs import Organ, find_organ
from ..preprocess import to_upright
from ..segmentation import OrganResult, Segmentation
from ..volume import Geometry

ANNOTATORS = ("oncologist", "radiographer")
HELD_OUT = 8  # of the official test split's 28 patients


class TciaOars:
    """Scans of a tcia-oars folder.

    It has no training split of its own. Ours, by patient: the official validation patients are ``calibrate``; of the official test patients
    the 8 whose names' SHA-256 come first are ``held-out``, the other 20 ``train``. ``0522c0727a`` and ``b`` are one patient.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        path = self.folder / "dataset.json"
        try:
            index = json.loads(path.read_text(encoding="utf-8"))
            self.bits = {_organ(name): int(bit) for name, bit in index["bits"].items()}
            cases = {split: list(names) for split, names in index["cases"].items()}
        except (OSError, ValueError, KeyError, AttributeError) as problem:
            raise DatasetError(
                f"{path} cannot be read ({problem}); a folder in the tcia-oars layout is expected."
            ) from problem
        patients = sorted({patient(s) for s in cases["test"]}, key=lambda p: hashlib.sha256(p.encode()).hexdigest())
        held_out = set(patients[:HELD_OUT])
        self.scans: dict[str, list[str]] = {
            "train": sorted(s for s in cases["test"] if patient(s) not in held_out),
            "calibrate": sorted(cases["validation"]),
            "held-out": sorted(s for s in cases["test"] if patient(s) in held_out),
        }

    def segmentations(self, split: str) -> Iterator[tuple[str, str, Segmentation]]:
        """(scan, annotator, contours) of every scan of a split."""
        for scan in self.scans[split]:
            for annotator in ANNOTATORS:
                yield scan, annotator, self.segmentation(scan, annotator)

    def segmentation(self, scan: str, annotator: str, organs: Sequence[str] | None = None) -> Segmentation:
        """All organs (or ``organs``) as one label map, upright. Where structures overlap the smaller one wins: the lens lies over the eye."""
        array, geometry = self.bit_mask(scan, annotator)
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
        voxel_ml = float(np.prod(geometry.spacing_mm_xyz)) / 1000.0
        results = tuple(
            OrganResult(organ, bit + 1, True, float(counts[bit + 1]) * voxel_ml)
            for organ, bit in chosen.items()
            if counts[bit + 1]
        )
        return Segmentation(out.reshape(array.shape), geometry, results, {"source": f"tcia-oars {scan}, {annotator}"})

    def bit_mask(self, scan: str, annotator: str) -> tuple[np.ndarray, Geometry]:
        """uint32 (z, y, x) as stored, made upright. Raises DatasetError."""
        path = self.folder / annotator / f"{scan}.nrrd"
        try:
            image = sitk.ReadImage(str(path))
        except RuntimeError as problem:
            raise DatasetError(f"{path} is missing or cannot be read as an image.") from problem
        direction = np.asarray(image.GetDirection()).reshape(3, 3)
        geometry = Geometry(image.GetSize()[::-1], image.GetSpacing(), image.GetOrigin(), tuple(map(tuple, direction)))
        array, upright, _, _ = to_upright(sitk.GetArrayFromImage(image), geometry)
        return np.ascontiguousarray(array), upright


def patient(scan: str) -> str:
    """Who was scanned: a letter at the end tells two scans of one patient apart."""
    return scan[:-1] if scan.startswith("0522") and scan[-1].isalpha() else scan


def _organ(name: str) -> Organ:
    organ = find_organ(name)
    if organ is None:
        raise KeyError(f"{name} is not in the organ table")
    return organ
