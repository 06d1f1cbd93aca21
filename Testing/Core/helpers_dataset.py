"""A tiny data set in the OpenKBP layout, written to disk as real NRRD files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .helpers_engine import head

LABELS = {"Brainstem": 1, "Parotid_R": 2, "Parotid_L": 3}
# the boxes (x, y, z ranges in -1..1 of the head) that stand for organs; the patient's left is +x
BOXES = {
    "Brainstem": ((-0.2, 0.2), (0.0, 0.3), (0.2, 0.6)),
    "Parotid_R": ((-0.6, -0.3), (-0.3, 0.1), (-0.3, 0.3)),
    "Parotid_L": ((0.3, 0.6), (-0.3, 0.1), (-0.3, 0.3)),
}


def write_dataset(folder: Path, train: int = 3, val: int = 2) -> Path:
    """Cases of bright and dark boxes in a head; the second training case has no contour of Parotid_L."""
    contoured: dict[str, dict[str, list[str]]] = {"train": {}, "val": {}}
    for split, count in (("train", train), ("val", val)):
        for number in range(count):
            name = f"pt_{number + 1 + (train if split == 'val' else 0)}"
            organs = [o for o in LABELS if not (split == "train" and number == 1 and o == "Parotid_L")]
            contoured[split][name] = organs
            write_case(folder / split / name, organs, seed=number + 10 * (split == "val"))
    (folder / "dataset.json").write_text(json.dumps({"labels": LABELS, "contoured": contoured}))
    return folder


def write_case(folder: Path, organs: list[str], seed: int) -> None:
    volume = head((24, 36, 32), (6.0, 6.0, 6.0), seed)
    hu, labels = volume.array.copy(), np.zeros(volume.array.shape, np.uint8)
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in hu.shape], indexing="ij")
    for name, value in LABELS.items():
        (x0, x1), (y0, y1), (z0, z1) = BOXES[name]
        box = (axes[0] > z0) & (axes[0] < z1) & (axes[1] > y0) & (axes[1] < y1) & (axes[2] > x0) & (axes[2] < x1)
        hu[box] = 300 + 200 * value
        if name in organs:
            labels[box] = value
    folder.mkdir(parents=True)
    for file, array in (("ct.nrrd", hu), ("label.nrrd", labels)):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(volume.geometry.spacing_mm_xyz)
        image.SetOrigin(volume.geometry.origin_mm_xyz)
        sitk.WriteImage(image, str(folder / file), useCompression=True)


TINY_TOML = """
[network]
small_organs = ["Brainstem"]
width = 0.125
aspp_rates = [1, 2]
spacing_mm_zyx = [6.0, 6.0, 6.0]
crop_size_yx = [32, 32]
chunk_slices = 16
stride = 16
roi_size_zyx = [8, 16, 16]
aae_width = 0.0625

[settings]
steps = 6
checkpoint_every = 2
validate_every = 3
ema_decay = 0.9
pictures = false

[augmentation]
shift_mm = 10.0
mirror = true
scale = [0.9, 1.1]

[model]
name = "tiny"
data = "made for a test"
licence = "none"
"""
