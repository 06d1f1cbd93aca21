"""How a scan is to be segmented, checked before any scan is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from ..image.organs import find_organ
from ..nets.bundle import ModelBundle, load_bundle
from .backends import check_backend
from .devices import Device, choose_device
from .seed_points import Seeds, check_seeds


@dataclass(frozen=True)
class SegmentOptions:
    """Model and choices of a run; whatever could be refused without a scan has been refused once this is constructed.

    ``model``: a bundle, or its name or folder. ``device``: auto, cpu, cuda, cuda:N or mps. ``precision``: auto, fp32, bf16 or fp16.
    ``organs``: TG-263 names or synonyms to keep, None for all that the bundle knows. ``backend``: auto, torch or openvino.
    ``seeds``: organ -> (x, y, z) in LPS mm of the scan's own space: SOS-Net looks there, whatever the heat map says.
    ``check_orientation``: False where the scan's directions are known, as of a phantom.
    ``qa_passes``: 1 runs the networks once more on the mirrored scan, to see which organs then come out otherwise; 0 does not.

    Derived: ``bundle``; ``chosen_device``, what "auto" means here; ``wanted``, TG-263 names; ``seeds_mm``, seeds by TG-263 name.

    Raises ModelError for a bundle that is missing or damaged, InputError for all else.
    """

    model: ModelBundle | str | Path
    device: str = "auto"
    precision: str = "auto"
    organs: Sequence[str] | None = None
    backend: str = "auto"
    seeds: Seeds | None = None
    qa_passes: int = 0
    check_orientation: bool = True
    bundle: ModelBundle = field(init=False)
    chosen_device: Device = field(init=False)
    wanted: frozenset[str] = field(init=False)
    seeds_mm: dict[str, tuple[float, float, float]] = field(init=False)

    def __post_init__(self) -> None:
        bundle = self.model if isinstance(self.model, ModelBundle) else load_bundle(self.model)
        chosen = choose_device(self.device, self.precision)
        check_backend(self.backend, chosen)
        if self.qa_passes not in (0, 1):
            raise InputError(f"{self.qa_passes} passes for quality assurance were asked for; 0 or 1 is expected.")
        for name, value in (
            ("bundle", bundle),
            ("chosen_device", chosen),
            ("wanted", frozenset(choose_organs(bundle, self.organs))),
            ("seeds_mm", check_seeds(bundle, self.seeds)),
        ):
            object.__setattr__(self, name, value)


def choose_organs(bundle: ModelBundle, organs: Sequence[str] | None) -> set[str]:
    """Return the TG-263 names of the organs that were asked for. Raises InputError for names that are unknown or not in the bundle."""
    known = {organ.name for organ in bundle.organs}
    if organs is None:
        return known
    wanted = set()
    for name in organs:
        organ = find_organ(name)
        if organ is None or organ.name not in known:
            raise InputError(
                f"Model {bundle.name} has no organ {name!r}; it knows {', '.join(o.name for o in bundle.organs)}."
            )
        wanted.add(organ.name)
    if not wanted:
        raise InputError(
            f"No organ was asked for; model {bundle.name} knows {', '.join(o.name for o in bundle.organs)}."
        )
    return wanted
