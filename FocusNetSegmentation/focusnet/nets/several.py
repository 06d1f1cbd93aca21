"""Several models in one run: how they are named, and which bundles drew a result."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import ModelError
from ..image.drawn_by import model_of, models_of
from .bundle import ModelBundle, load_bundle

Model: TypeAlias = "ModelBundle | str | Path"
BETWEEN = re.compile(r"\s*,\s*|\s+\+\s+")  # "a,b" as on the command line; "a + b" as a merged result names its models


def model_names(text: str) -> list[str]:
    """Return the models of ``NAME,NAME``, each a name or a folder. A folder whose own name has a comma is one model."""
    if os.path.isdir(os.path.expanduser(text)):
        return [text]
    return [name for name in BETWEEN.split(text.strip()) if name]


def load_bundles(model: Model | Sequence[Model]) -> tuple[ModelBundle, ...]:
    """Return the bundles of a model, of several with commas between them, or of a list. Raises ModelError for none, and for one named twice."""
    if isinstance(model, ModelBundle):
        return (model,)
    if isinstance(model, (str, Path)):
        named: Sequence[Model] = tuple(model_names(model)) if isinstance(model, str) else (model,)
    else:
        named = model
    if not named:
        raise ModelError("No model is named; give a name or a folder, or several with commas between them.")
    bundles = tuple(one if isinstance(one, ModelBundle) else load_bundle(one) for one in named)
    for number, bundle in enumerate(bundles):
        if any(bundle.digest == other.digest or bundle.name == other.name for other in bundles[:number]):
            raise ModelError(f"The model {bundle.name} is named twice; name each of the models to be merged once.")
    return bundles


def bundles_of(provenance: Mapping[str, Any]) -> tuple[list[ModelBundle], list[str]]:
    """Return the installed bundles of the names that drew a result, and a sentence for each that is missing or another version."""
    found, told = [], []
    for model in models_of(provenance):
        name = str(model["model"])
        try:
            bundle = load_bundle(name)
        except ModelError:
            told.append(f"The model {name} that made this is not installed; its own statistics are not used.")
            continue
        found.append(bundle)
        if bundle.digest != model.get("bundle_sha256"):
            told.append(f"The model {name} that is installed is another version than the one that made this.")
    return found, told


def bundle_of(bundles: Sequence[ModelBundle], provenance: Mapping[str, Any], organ: str) -> ModelBundle | None:
    """Return which of ``bundles`` counts for an organ of a result: the only one, else the one of the name that drew it; None if it is not there."""
    if len(bundles) == 1 and len(models_of(provenance)) < 2:
        return bundles[0]
    drew = model_of(provenance, organ)
    return next((bundle for bundle in bundles if bundle.name == drew), None)
