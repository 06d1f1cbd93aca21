"""Score a case for its page: the ranking of its organs and, where the shape model knows them, shape priors."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any, TypeAlias

from ..errors import InputError, ModelError
from ..image.drawn_by import models_of
from ..image.segmentation import Segmentation
from ..image.volume import Volume
from ..nets.bundle import ModelBundle
from ..nets.several import bundles_of
from ..qa import Ranking
from ..qa.organ_scores import as_dict
from ..qa.ranking import rank_organs
from ..qa.shape_model import ShapeModel, load_shape_model
from ..qa.shape_prior import shape_priors

Bundles: TypeAlias = "ModelBundle | Sequence[ModelBundle]"


def scored(
    segmentation: Segmentation, volume: Volume, bundle: Bundles | None = None
) -> tuple[dict[str, Any], Segmentation | None]:
    """Return (plain values as 'focusnet qa' writes them, shape priors or None), on the grid of both.

    ``bundle``: the model that segmented, or the models; by default the installed ones of these names, if their hashes are the same.
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
    segmentation: Segmentation, volume: Volume, bundle: Bundles | None = None
) -> tuple[Ranking, ShapeModel | None]:
    """Return the ranking and the shape model that it used, None if there was none to use. ``bundle``: as in ``scored``."""
    shape_model = _shape_model(segmentation)
    return rank_organs(segmentation, volume, bundle or _own_bundles(segmentation), shape_model=shape_model), shape_model


def _own_bundles(segmentation: Segmentation) -> list[ModelBundle]:
    made = {model.get("bundle_sha256") for model in models_of(segmentation.provenance)}
    found, _ = bundles_of(segmentation.provenance)
    return [bundle for bundle in found if bundle.digest in made]


def _shape_model(segmentation: Segmentation) -> ShapeModel | None:
    """Return the shape model that ships; None if it is not installed, or PyTorch is not."""
    if importlib.util.find_spec("torch") is None:
        return None
    try:
        return load_shape_model()
    except ModelError:
        return None
