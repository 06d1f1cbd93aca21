"""How a scan is to be segmented, checked before any scan is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import InputError
from ..image.organs import Organ, find_organ
from ..nets.bundle import ModelBundle
from ..nets.known_organs import Choice, best_models
from ..nets.several import Model, load_bundles
from .backends import check_backend
from .devices import Device, choose_device
from .seed_points import Seeds, check_seeds


@dataclass(frozen=True)
class SegmentOptions:
    """Model and choices of a run; whatever could be refused without a scan has been refused once this is constructed.

    ``model``: a bundle, or its name or folder; or several, in a list or as "NAME,NAME", whose results are merged: each organ is taken from
    the model that knows it best (``nets.known_organs``). ``device``: auto, cpu, cuda, cuda:N or mps. ``precision``: auto, fp32, bf16 or fp16.
    ``organs``: TG-263 names or synonyms to keep, None for all that the models know. ``backend``: auto, torch or openvino.
    ``seeds``: organ -> (x, y, z) in LPS mm of the scan's own space: SOS-Net looks there, whatever the heat map says.
    ``check_orientation``: False where the scan's directions are known, as of a phantom.
    ``qa_passes``: 1 runs the networks once more on the mirrored scan, to see which organs then come out otherwise; 0 does not.

    Derived: ``bundles``, and ``bundle``, the first of them; ``choices``, organ -> the model that draws it and why; ``chosen_device``, what
    "auto" means here; ``wanted``, TG-263 names; ``seeds_mm``, seeds by TG-263 name.

    Raises ModelError for a bundle that is missing or damaged, InputError for all else.
    """

    model: Model | Sequence[Model]
    device: str = "auto"
    precision: str = "auto"
    organs: Sequence[str] | None = None
    backend: str = "auto"
    seeds: Seeds | None = None
    qa_passes: int = 0
    check_orientation: bool = True
    bundles: tuple[ModelBundle, ...] = field(init=False)
    choices: Mapping[str, Choice[ModelBundle]] = field(init=False)
    chosen_device: Device = field(init=False)
    wanted: frozenset[str] = field(init=False)
    seeds_mm: dict[str, tuple[float, float, float]] = field(init=False)

    def __post_init__(self) -> None:
        bundles = load_bundles(self.model)
        choices = best_models(bundles)
        chosen = choose_device(self.device, self.precision)
        check_backend(self.backend, chosen)
        if self.qa_passes not in (0, 1):
            raise InputError(f"{self.qa_passes} passes for quality assurance were asked for; 0 or 1 is expected.")
        for name, value in (
            ("bundles", bundles),
            ("choices", choices),
            ("chosen_device", chosen),
            ("wanted", frozenset(choose_organs(bundles, self.organs))),
            ("seeds_mm", _checked_seeds(bundles, choices, self.seeds)),
        ):
            object.__setattr__(self, name, value)

    @property
    def bundle(self) -> ModelBundle:
        """The only model, or the first of several."""
        return self.bundles[0]

    @property
    def organs_in_order(self) -> list[Organ]:
        """The wanted organs in the order of the models."""
        known = {organ.name: organ for bundle in self.bundles for organ in bundle.organs}
        return [organ for name, organ in known.items() if name in self.wanted]


def choose_organs(bundles: Sequence[ModelBundle], organs: Sequence[str] | None) -> set[str]:
    """Return the TG-263 names of the organs that were asked for. Raises InputError for names that are unknown or in none of the bundles."""
    known = dict.fromkeys(organ.name for bundle in bundles for organ in bundle.organs)
    if organs is None:
        return set(known)
    wanted = set()
    for name in organs:
        organ = find_organ(name)
        if organ is None or organ.name not in known:
            raise InputError(f"{_named(bundles)} no organ {name!r}; known are {', '.join(known)}.")
        wanted.add(organ.name)
    if not wanted:
        raise InputError(f"No organ was asked for; known are {', '.join(known)}.")
    return wanted


def _checked_seeds(
    bundles: Sequence[ModelBundle], choices: Mapping[str, Choice[ModelBundle]], seeds: Seeds | None
) -> dict[str, tuple[float, float, float]]:
    """Return the seeds by TG-263 name, each checked against the model that draws its organ. Raises InputError."""
    by_model: dict[str, dict[str, Sequence[float]]] = {bundle.digest: {} for bundle in bundles}
    for name, place in (seeds or {}).items():
        organ = find_organ(name)
        choice = choices.get(organ.name) if organ is not None else None
        if choice is None and len(bundles) > 1:
            raise InputError(
                f"{_named(bundles)} no organ {name!r}, for which a seed is given; known are {', '.join(choices)}."
            )
        by_model[(choice.bundle if choice is not None else bundles[0]).digest][name] = place
    checked = [check_seeds(bundle, by_model[bundle.digest]) for bundle in bundles]
    return {organ: place for places in checked for organ, place in places.items()}


def _named(bundles: Sequence[ModelBundle]) -> str:
    names = " and ".join(bundle.name for bundle in bundles)
    return f"Model {names} has" if len(bundles) == 1 else f"Models {names} have"
