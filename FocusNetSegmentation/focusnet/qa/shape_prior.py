"""Make shape priors: each organ as the shape model reconstructs it, on the scan's own grid. A prior, not truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..errors import InputError
from ..image.label_boxes import label_counts
from ..image.orientation import from_upright, to_upright
from ..image.segmentation import OrganResult, Segmentation
from .measure import measure_all
from .shape_model import ShapeModel

NOTE = "Shape priors are what a shape model makes of the contours: a prior, not truth."


def shape_prior(segmentation: Segmentation, organ: str, prior: ShapeModel) -> np.ndarray:
    """Return one organ's reconstruction, bool (z, y, x) on the segmentation's grid.

    Raises InputError if there is nothing to reconstruct.
    """
    return shape_priors(segmentation, prior, (organ,)).mask(organ)


def shape_priors(segmentation: Segmentation, prior: ShapeModel, organs: tuple[str, ...] | None = None) -> Segmentation:
    """Return every organ's reconstruction under its own name and label. Where two overlap the smaller one wins.

    Raises InputError if no organ (of ``organs``) has voxels and is known to the shape model.
    """
    known = refuse_without_shape_priors(segmentation, prior, organs)
    labels, upright, axes, flips = to_upright(segmentation.labels, segmentation.geometry)
    measured = measure_all(labels, upright, replace(segmentation, results=tuple(known)))
    masks = {name: prior.shape_prior_part(prior.reconstruct(m, upright), upright) for name, m in measured.items()}
    out = np.zeros(labels.shape, np.uint8)
    by_name = {r.organ.name: r for r in known}
    for name in sorted(masks, key=lambda n: -int(masks[n][1].sum())):
        box, mask = masks[name]
        out[box][mask] = by_name[name].label
    counts = label_counts(out)
    results = tuple(
        OrganResult(
            organ=r.organ,
            label=r.label,
            found=bool(counts[r.label]),
            volume_ml=float(counts[r.label]) * upright.voxel_ml,
        )
        for r in known
        if r.organ.name in masks
    )
    used = prior.describe()
    about = {"model": used["name"], "model_version": used["version"], "bundle_sha256": used["sha256"]}
    notes = {"source": segmentation.provenance.get("source", ""), "notes": [NOTE]}
    return Segmentation(from_upright(out, axes, flips), segmentation.geometry, results, {**about, **notes})


def refuse_without_shape_priors(
    segmentation: Segmentation, prior: ShapeModel, organs: tuple[str, ...] | None = None
) -> list[OrganResult]:
    """Return the organs that can have a shape prior. Raises InputError if none can."""
    counts = label_counts(segmentation.labels)
    wanted = [r for r in segmentation.results if organs is None or r.organ.name in organs]
    known = [r for r in wanted if prior.rebuilds(r.organ.name) and counts[r.label]]
    if not known:
        raise InputError(
            f"There is nothing to make a shape prior of: {', '.join(r.organ.name for r in wanted) or 'no organ'} found, a contoured one of "
            f"{', '.join(prior.organs)} is expected."
        )
    return known
