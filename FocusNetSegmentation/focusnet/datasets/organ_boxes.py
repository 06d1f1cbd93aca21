"""Cut out small organs' contours for training the shape autoencoder (the paper's AAE, section 3.3). No CT is needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..image.segmentation import Segmentation
from ..image.volume import Geometry
from ..nets.config import NetworkConfig
from ..nets.shape_box import ShapeBox, cut
from .bit_masks import patient_of
from .tcia_oars import ANNOTATORS, TciaOars

SMALL = (
    "Lens_L", "Lens_R", "OpticNrv_L", "OpticNrv_R", "Cochlea_L", "Cochlea_R", "Glnd_Lacrimal_L", "Glnd_Lacrimal_R",
)  # fmt: skip
MARGIN_VOXELS = 2


@dataclass(frozen=True)
class Jitter:
    """How a shape is moved and distorted before training: mm (z, y, x) either way, degrees, scale."""

    center_mm_zyx: tuple[float, float, float] = (1.5, 2.0, 2.0)
    rotation_degrees: float = 8.0
    scale: tuple[float, float] = (0.92, 1.08)


NO_JITTER = Jitter((0.0, 0.0, 0.0), 0.0, (1.0, 1.0))


@dataclass(frozen=True)
class OrganShape:
    """One contour of one small organ: its mask (z, y, x) with a margin, on ``geometry``, and its centre (LPS mm)."""

    name: str  # scan and annotator: what a message calls it
    patient: str
    organ: str
    mask: np.ndarray
    geometry: Geometry
    center_mm_xyz: tuple[float, float, float]

    def draw(
        self, config: NetworkConfig, jitter: Jitter = NO_JITTER, rng: np.random.Generator | None = None
    ) -> np.ndarray:
        """Return the mask in the autoencoder's box, bool (d, h, w): left organs mirrored onto right, the centre moved by the jitter."""
        rng = rng or np.random.default_rng(0)
        shift_zyx = rng.uniform(-1, 1, 3) * jitter.center_mm_zyx
        x, y, z = np.array(self.center_mm_xyz) + shift_zyx[::-1]
        box = ShapeBox.around((float(x), float(y), float(z)), self.organ, config)
        return cut(self.mask, self.geometry, box, _linear(jitter, rng))


def _linear(jitter: Jitter, rng: np.random.Generator) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_euler("xyz", rng.uniform(-1, 1, 3) * jitter.rotation_degrees, degrees=True).as_matrix()
    scaled: np.ndarray = turn / rng.uniform(*jitter.scale)
    return scaled


def organ_shapes(
    segmentation: Segmentation, name: str, who: str, organs: tuple[str, ...] = SMALL
) -> Iterator[OrganShape]:
    """Yield every one of ``organs`` that was contoured. ``segmentation`` must be upright; ``who`` is the patient."""
    boxes = ndimage.find_objects(segmentation.labels)
    for result in segmentation.results:
        box = boxes[result.label - 1] if result.label <= len(boxes) else None
        if result.organ.name in organs and box is not None:
            low = np.array([max(s.start - MARGIN_VOXELS, 0) for s in box])
            high = [s.stop + MARGIN_VOXELS for s in box]
            part = segmentation.labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] == result.label
            whole = segmentation.geometry
            origin = tuple(float(v) for v in whole.index_to_mm(low))
            geometry = Geometry(
                part.shape, whole.spacing_mm_xyz, (origin[0], origin[1], origin[2]), whole.direction_xyz
            )
            x, y, z = (float(v) for v in whole.index_to_mm(np.argwhere(part).mean(axis=0) + low))
            yield OrganShape(name, who, result.organ.name, np.ascontiguousarray(part), geometry, (x, y, z))


def tcia_shapes(dataset: TciaOars, split: str) -> list[OrganShape]:
    """Return all small organs of a split: both annotators, both sides."""
    return [
        shape
        for scan in dataset.scans[split]
        for annotator in ANNOTATORS
        for shape in organ_shapes(
            dataset.segmentation(scan, annotator, SMALL), f"{scan}, {annotator}", patient_of(scan)
        )
    ]
