"""A comparison of two models as ``focusnet.compare`` makes it, without any network."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from focusnet.compare.models import CaseContours, Comparison, Row, Scores
from focusnet.compare.page import LargestChanges
from focusnet.datasets.raw_contours import Contours
from focusnet.image.organs import find_organ
from focusnet.image.segmentation import OrganResult, Segmentation
from focusnet.nets.bundle import ModelBundle

from .helpers_engine import head, small_config

ORGANS = ("Brainstem", "Parotid_R", "Parotid_L")


def bundle(name: str, version: str, digest: str, cases: int = 0) -> ModelBundle:
    """A bundle that nobody opens."""
    lineage = [{"parent": name, "parent_version": "1", "cases": cases, "date": "2026-11-28"}] if cases else []
    config = small_config(organs=ORGANS, small_organs=("Brainstem",))
    return ModelBundle(Path("nowhere"), name, config, (), {"version": version, "lineage": lineage}, digest)


def contours(name: str = "pt_1") -> CaseContours:
    """The right parotid as approved, with the old model's too small and the new one's as approved; the others are drawn alike."""
    volume = head((16, 24, 20), (6.0, 6.0, 6.0))
    labels = np.zeros(volume.array.shape, np.uint8)
    labels[6:10, 8:14, 3:9], labels[6:10, 8:14, 12:17], labels[10:14, 12:16, 9:12] = 2, 3, 1
    smaller = labels.copy()
    smaller[6:10, 8:11, 3:9] = 0
    results = tuple(
        OrganResult(organ=organ, label=value, found=True, volume_ml=1.0)
        for value, title in enumerate(ORGANS, start=1)
        if (organ := find_organ(title)) is not None
    )
    voxels = {organ: np.flatnonzero(labels == value) for value, organ in enumerate(ORGANS, start=1)}
    approved = Contours(name, volume.array, volume.geometry, voxels, frozenset(ORGANS), patient=name)
    old, new = (Segmentation(drawn, volume.geometry, results, {}) for drawn in (smaller, labels))
    return CaseContours(volume, approved, old, new)


def comparison(
    patients: int = 8, gain: float = 0.05, old: str = "han", new: str = "han"
) -> tuple[Comparison, LargestChanges]:
    """The right parotid gains ``gain`` in every patient, the left one loses as much, the brainstem stays."""
    made = Comparison(bundle(old, "1", "a" * 64), bundle(new, "1.1", "b" * 64, cases=20))
    changes = LargestChanges()
    for n in range(patients):
        by = {"Brainstem": 0.0, "Parotid_R": gain + 0.001 * n, "Parotid_L": -gain - 0.001 * n}
        rows = [
            Row(f"pt_{n}", f"pt_{n}", organ, Scores(0.8, 0.7, 100.0), Scores(0.8 + d, 0.7 + d, 100.0 - 1000 * d))
            for organ, d in by.items()
        ]
        made.rows.extend(rows)
        changes.look(rows, contours(f"pt_{n}"))
    return made, changes
