"""Balls as organs and as their shape priors. Import it where ``slicer`` is known to be there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Geometry
from focusnet.io.seg_nrrd import write_seg_nrrd
from FocusNetSegmentationLib.review.shape_prior import add_shape_priors
from FocusNetSegmentationLib.scene.as_segmentation import segmentation_on
from FocusNetSegmentationLib.scene.nodes import import_result

from ..Core.helpers_outputs import segmentation
from .helpers_nodes import World

CUBE = Geometry((40, 60, 60), (2.0, 2.0, 3.0), (-60.0, -60.0, -60.0))


def ball(radius_mm: float, center_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    z, y, x = np.indices(CUBE.shape_zyx)
    points = CUBE.index_to_mm(np.stack([z, y, x], axis=-1))
    return ((points - np.array(center_mm)) ** 2).sum(axis=-1) <= radius_mm**2


def drawn(mask: np.ndarray, geometry: Geometry = CUBE, name: str = "Brainstem") -> Segmentation:
    return segmentation(mask.astype(np.uint8), geometry, (name,))


def write_shape_priors(result: Segmentation, folder: Path) -> Path:
    path = folder / "shape-priors.seg.nrrd"
    write_seg_nrrd(result, path, overwrite=True)
    return path


def balls(world: World, tmp_path: Path, radius_mm: float, shape_prior_mm: float) -> Any:
    """A segmentation with a ball for a brainstem, whose shape prior is another ball."""
    node = import_result(world.scene, drawn(ball(radius_mm)), None).node
    assert add_shape_priors(world.scene, node, write_shape_priors(drawn(ball(shape_prior_mm)), tmp_path)) == [
        "Brainstem"
    ]
    return node


def node_mask(node: Any, geometry: Geometry = CUBE, name: str = "Brainstem") -> np.ndarray:
    return segmentation_on(geometry, node)[0].mask(name)
