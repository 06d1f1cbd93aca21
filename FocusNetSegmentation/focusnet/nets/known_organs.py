"""Which of several models knows an organ best, by what each bundle says of itself.

A bundle's ``bundle.json`` may hold, organ by organ, the DSC to be expected and on what it was measured::

    "known_organs": {"Lens_L": {"dsc": 0.74, "measured_on": "simulated CT"}, ...}

``measured_on``: one of MEASURED_ON. A bundle without ``known_organs`` is known by its held-out scores (``held_out``, of real CT unless
``held_out.measured_on`` says otherwise), without these by its training's own validation (on real CT, unless the bundle asks for caution). What was
measured on real CT comes before what was measured on simulated CT, which comes before what was not measured; then the higher DSC, then the
order in which the models were named.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

KEY = "known_organs"
REAL, SIMULATED = "real CT", "simulated CT"
MEASURED_ON = (REAL, SIMULATED)  # the better first


@dataclass(frozen=True)
class KnownOrgan:
    """How well a model draws one organ: the mean ``dsc``, measured on ``measured_on``; None and "" where it was not measured."""

    dsc: float | None = None
    measured_on: str = ""

    @property
    def order(self) -> tuple[int, float]:
        """Return what sorts the best knowledge first."""
        place = MEASURED_ON.index(self.measured_on) if self.measured_on in MEASURED_ON else len(MEASURED_ON)
        return place, -(self.dsc or 0.0)

    def __str__(self) -> str:
        return "not measured" if self.dsc is None else f"DSC {self.dsc:.2f} on {self.measured_on}"


class Knowing(Protocol):
    """What the rule needs of a model: a ModelBundle, or a bundle.json that was only read."""

    @property
    def name(self) -> str: ...
    @property
    def manifest(self) -> Mapping[str, Any]: ...
    @property
    def organ_names(self) -> Sequence[str]: ...


Model = TypeVar("Model", bound=Knowing)


@dataclass(frozen=True)
class Choice(Generic[Model]):
    """``bundle``: the model that draws an organ; ``reason``: why, as a sentence."""

    bundle: Model
    reason: str


def known_organ(manifest: Mapping[str, Any], organ: str) -> KnownOrgan:
    """Return what a bundle.json says of how well its model draws an organ; anything that cannot be read counts as not measured."""
    if isinstance(manifest.get(KEY), Mapping):
        row = _mapping(manifest[KEY].get(organ))
        return _known(row.get("dsc"), row.get("measured_on"))
    if manifest.get("held_out"):
        held_out = _mapping(manifest["held_out"])
        row = _mapping(_mapping(held_out.get("organs")).get(organ))
        return _known(row.get("dsc_mean"), held_out.get("measured_on", REAL))
    stages = _mapping(_mapping(manifest.get("training")).get("stages"))
    scores = [_mapping(_mapping(stage).get("validation")).get(organ) for stage in stages.values()]
    last = next((dsc for dsc in reversed(scores) if dsc is not None), None)
    return _known(last, SIMULATED if manifest.get("caution") else REAL)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _known(dsc: Any, measured_on: Any) -> KnownOrgan:
    if not isinstance(dsc, (int, float)) or not 0 <= dsc <= 1 or measured_on not in MEASURED_ON:
        return KnownOrgan()
    return KnownOrgan(float(dsc), str(measured_on))


def best_models(bundles: Sequence[Model], failed: Collection[Model] = ()) -> dict[str, Choice[Model]]:
    """Return organ -> the model of ``bundles`` that knows it best, for every organ that one of them draws, in the order of the models.

    ``failed``: those of ``bundles`` that could not be used; the best of the others is taken.
    """
    organs = dict.fromkeys(organ for bundle in bundles for organ in bundle.organ_names)
    chosen = {organ: _best(organ, bundles, failed) for organ in organs}
    return {organ: choice for organ, choice in chosen.items() if choice is not None}


def _best(organ: str, bundles: Sequence[Model], failed: Collection[Model]) -> Choice[Model] | None:
    able = [bundle for bundle in bundles if organ in bundle.organ_names]
    ordered = sorted(
        able, key=lambda bundle: known_organ(bundle.manifest, organ).order
    )  # stable: ties as they were named
    usable = [bundle for bundle in ordered if not any(bundle is broken for broken in failed)]
    if not usable:
        return None
    best = usable[0]
    known = {bundle.name: known_organ(bundle.manifest, organ) for bundle in ordered}
    others = [f"{bundle.name} ({known[bundle.name]})" for bundle in ordered if bundle is not best]
    if not others:
        return Choice(best, "Drawn by no other model.")
    broken = [bundle.name for bundle in ordered[: ordered.index(best)]]
    why = f", because {', '.join(broken)} could not be used" if broken else ""
    return Choice(best, f"{best.name} ({known[best.name]}) was taken before {' and '.join(others)}{why}.")
