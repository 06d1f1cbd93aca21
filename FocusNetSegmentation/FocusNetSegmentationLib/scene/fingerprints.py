"""Which voxels a segment has, in a few numbers: to tell a change from a mere reload, rename or crop."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .labelmaps import LABELMAP, image_matrix, voxels
from .types import Box, OrientedImage, Segment

PLACE_MM = 0.01  # a file keeps a grid's place to a few digits
SPACING_MM = 1e-4  # times the number of voxels across an organ: still far below one voxel


@dataclass(frozen=True)
class Fingerprint:
    """``digest``: of the voxels in the box around the segment. ``corner_mm``: the box's first voxel, in the node's own RAS.
    ``steps_mm``: the three steps from voxel to voxel. An empty segment has no voxels, no digest and no place."""

    voxels: int = 0
    digest: str = ""
    corner_mm: tuple[float, ...] = ()
    steps_mm: tuple[float, ...] = ()

    @property
    def volume_ml(self) -> float:
        if not self.voxels:
            return 0.0
        return self.voxels * abs(float(np.linalg.det(np.reshape(self.steps_mm, (3, 3))))) / 1000.0

    def same_as(self, other: Fingerprint | None) -> bool:
        """Return whether both are of the same voxels in the same place."""
        if other is None or (self.voxels, self.digest) != (other.voxels, other.digest):
            return False
        return not self.voxels or (
            bool(np.allclose(self.corner_mm, other.corner_mm, rtol=0, atol=PLACE_MM))
            and bool(np.allclose(self.steps_mm, other.steps_mm, rtol=0, atol=SPACING_MM))
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> Fingerprint | None:
        """Return what ``to_json`` wrote, None for anything else."""
        try:
            corner, steps = (tuple(float(v) for v in data[key]) for key in ("corner_mm", "steps_mm"))
            made = cls(int(data["voxels"]), str(data["digest"]), corner, steps)
        except (TypeError, KeyError, ValueError):
            return None
        return made if not made.voxels or (len(corner), len(steps)) == (3, 9) else None


class Fingerprints:
    """Fingerprints of segments; a label map is read again only when it was modified."""

    def __init__(self) -> None:
        self._boxes: dict[
            int, tuple[OrientedImage, int, list[Box | None]]
        ] = {}  # the image is kept: its id stays its own
        self._known: dict[tuple[int, int], tuple[int, Fingerprint]] = {}

    def of(self, segment: Segment) -> Fingerprint:
        image = segment.GetRepresentation(LABELMAP)
        array = voxels(image)
        if not array.size:
            return Fingerprint()
        label, modified = int(segment.GetLabelValue()), int(image.GetMTime())
        known = self._known.get((id(image), label))
        if known is not None and known[0] == modified and self._boxes.get(id(image), (None,))[0] is image:
            return known[1]
        made = _fingerprint(image, array, label, self._boxes_of(image, array, modified))
        self._known[id(image), label] = (modified, made)
        return made

    def _boxes_of(self, image: OrientedImage, array: np.ndarray, modified: int) -> list[Box | None]:
        known = self._boxes.get(id(image))
        if known is not None and known[0] is image and known[1] == modified:
            return known[2]
        from focusnet.image.label_boxes import label_boxes

        if known is None or known[0] is not image:
            self._forget_others()
        boxes: list[Box | None] = [*label_boxes(array)]
        self._boxes[id(image)] = (image, modified, boxes)
        return boxes

    def _forget_others(self) -> None:
        """Every undo makes new images: keep no more than a scene needs."""
        if len(self._boxes) > 64:
            self._boxes.clear()
            self._known.clear()


def _fingerprint(image: OrientedImage, array: np.ndarray, label: int, boxes: list[Box | None]) -> Fingerprint:
    box = boxes[label - 1] if 0 < label <= len(boxes) else None
    if box is None:
        return Fingerprint()
    mask = np.ascontiguousarray(array[box] == label)
    digest = hashlib.sha256(repr(mask.shape).encode())
    digest.update(np.packbits(mask).tobytes())
    matrix = image_matrix(image)
    first = np.array([s.start for s in box])[::-1] + np.array(image.GetExtent()[::2])
    corner = matrix[:3, :3] @ first + matrix[:3, 3]
    return Fingerprint(
        int(np.count_nonzero(mask)),
        digest.hexdigest()[:32],
        tuple(round(float(v), 4) for v in corner),
        tuple(round(float(v), 6) for v in matrix[:3, :3].ravel()),
    )
