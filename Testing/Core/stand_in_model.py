"""What stands for a model where a test is about all else: boxes, drawn without torch."""

from __future__ import annotations

import numpy as np

from focusnet.image.organs import find_organ
from focusnet.image.segmentation import OrganResult, Segmentation
from focusnet.image.volume import Volume

ORGANS = ("Brainstem", "Parotid_L", "Parotid_R")
NOT_LOCALIZED = "Larynx"  # has voxels, and must not leave as DICOM


def boxes(volume: Volume) -> Segmentation:
    """Three organs that were found and one that was not."""
    labels = np.zeros(volume.array.shape, np.uint8)
    depth, height, width = labels.shape
    results = []
    for label, name in enumerate((*ORGANS, NOT_LOCALIZED), start=1):
        x = width // 4 + (label - 1) * width // 8
        labels[depth // 4 : -(depth // 4), height // 3 : height // 2, x : x + width // 10] = label
        organ = find_organ(name)
        assert organ is not None
        found = name != NOT_LOCALIZED
        warnings = () if found else ("Not localized with confidence.",)
        volume_ml = float((labels == label).sum()) * volume.geometry.voxel_ml
        results.append(OrganResult(organ=organ, label=label, found=found, volume_ml=volume_ml, warnings=warnings))
    return Segmentation(labels, volume.geometry, tuple(results), {"model": "stand-in", "seconds": 0.0})
