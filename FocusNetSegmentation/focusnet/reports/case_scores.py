"""Score a case for its page: the ranking of its organs and, where the shape model knows them, shape priors."""

from __future__ import annotations

import importlib.util
from typing import Any

from ..errors import InputError, ModelError
from ..image.segmentation import Segmentation
from ..image.volume import Volume
from ..nets.bundle import ModelBundle, load_bundle
from ..qa import Ranking
from ..qa.organ_scores import as_dict
from ..qa.ranking import rank_organs
from ..qa.shape_model import ShapeModel, load_shape_model
from ..qa.shape_prior import shape_priors


def scored(
    segmentation: Segmentation, volume: Volume, bundle: ModelBundle | None = None
) -> tuple[dict[str, Any], Segmentation | None]:
    """Return (plain values as 'focusnet qa' writes them, shape priors or None), on the grid of both.

    ``bundle``: the model that segmented; by default the installed one of that name, if its hash is the same.
    """
    ranking, shape_model = ranked_organs(segmentation, volume, bundle)
    result = as_dict(ranking)
    if shape_model is None:
        return result, None
    try:
        return result, shape_priors(segmentation, shape_model)
    except InputError:  # no organ that it knows has a voxel
        return result, None


def ranked_organs(
    segmentation: Segmentation, volume: Volume, bundle: ModelBundle | None = None
) -> tuple[Ranking, ShapeModel | None]:
    """Return the ranking and the shape model that it used, None if there was none to use. ``bundle``: as in ``scored``."""
    shape_model = _shape_model(segmentation)
    return rank_organs(segmentation, volume, bundle or _own_bundle(segmentation), shape_model=shape_model), shape_model


def _own_bundle(segmentation: Segmentation) -> ModelBundle | None:
    name = segmentation.provenance.get("model")
    try:
        bundle = load_bundle(str(name)) if name else None
    except ModelError:
        return None
    return bundle if bundle and bundle.digest == segmentation.provenance.get("bundle_sha256") else None


def _shape_model(segmentation: Segmentation) -> ShapeModel | None:
    """Return the shape model that ships; None if it is not installed, or PyTorch is not."""
    if importlib.util.find_spec("torch") is None:
        return None
    try:
        return load_shape_model()
    except ModelError:
        return None
