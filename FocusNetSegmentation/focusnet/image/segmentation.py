"""Results of the engine: labels on the scan's own grid, which organ each label is, and how sure the network was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import InputError
from .organs import Organ
from .volume import Geometry

FOUND, UNCERTAIN, NOT_FOUND = "found", "uncertain", "not found"  # what a result says of an organ: OrganResult.status
NOTE, WARNING, ALARM = "note", "warning", "alarm"  # how grave the gravest sentence about an organ is: OrganResult.grade

DRAWN_AT = (
    "at_x_mm",
    "at_y_mm",
    "at_z_mm",
)  # in OrganResult.certainty: the median voxel of what the network drew, LPS mm
# In it too, of a small organ that SOS-Net drew: overlap with what S-Net drew, and the part of that which lies beyond SOS-Net's box, next to it.
BOTH_NETWORKS, BEYOND_ROI = "both_networks_dsc", "beyond_roi"


@dataclass(frozen=True, kw_only=True)
class OrganResult:
    """One organ of a result. ``label`` is its value in ``Segmentation.labels``.

    ``found``: it has voxels and was localized with confidence. ``status`` tells the three cases apart and is what a reader is told.

    ``peak`` is the maximum of the organ's localization heat map (0 to 1) and ``peak_mm_xyz`` its place in LPS millimetres,
    both None for an organ that SOL-Net does not look for. ``place_from``: whose place it is, "heat map" or where that was not believed "S-Net",
    "second peak" or "nowhere" (``inference.places``), or "seed"; then ``peak`` is the heat map's value there. "" where not known.
    ``place_likelihood``: how sure the network is whose place it is, or the surer one where both agree; None where not known (then ``peak``).
    ``second_peak`` and ``second_mm_xyz``: the likeliest place away from it; ``spread_mm``: radius of a ball as large as the part of the heat
    map above half its maximum; None where not known.
    ``warnings``: sentences that a reader must know; ``alarms``: those of them for which the organ must be looked at first. ``notes``:
    sentences that ask for nothing, such as specks that were removed; they raise no flag. ``certainty``: how sure the network was of the
    voxels that it drew (``inference.certainty``), None where that is not known.
    """

    organ: Organ
    label: int
    found: bool
    volume_ml: float
    peak: float | None = None
    peak_mm_xyz: tuple[float, float, float] | None = None
    second_peak: float | None = None
    second_mm_xyz: tuple[float, float, float] | None = None
    spread_mm: float | None = None
    place_from: str = ""
    place_likelihood: float | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()
    certainty: Mapping[str, float] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        missing = tuple(text for text in self.alarms if text not in self.warnings)
        object.__setattr__(self, "warnings", (*missing, *self.warnings))

    @property
    def place_certainty(self) -> float | None:
        """How sure the model is where the organ is, 0 to 1; None for an organ that is not looked for on its own."""
        return self.peak if self.place_likelihood is None else self.place_likelihood

    @property
    def grade(self) -> str:
        """ "alarm", "warning" or "note", after the gravest sentence about the organ; "" where there is none."""
        if self.alarms or self.warnings:
            return ALARM if self.alarms else WARNING
        return NOTE if self.notes else ""

    @property
    def status(self) -> str:
        """ "found"; "uncertain": it has voxels, but was not localized with confidence; "not found": it has no voxel."""
        return status_of(self.found, self.volume_ml)


def status_of(found: bool, volume: float) -> str:
    """``OrganResult.status`` of an organ that a file tells of; ``volume`` in any unit."""
    if not volume > 0:
        return NOT_FOUND
    return FOUND if found else UNCERTAIN


@dataclass(frozen=True, repr=False)
class Segmentation:
    """Organ labels on a scan's own grid.

    ``labels``: uint8 (z, y, x), 0 is background. ``results``: one OrganResult per organ that was asked for, found or not.
    ``provenance``: model name, bundle hash, versions, device, precision, seconds, retries: what a report repeats.
    """

    labels: np.ndarray
    geometry: Geometry
    results: tuple[OrganResult, ...]
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if tuple(self.labels.shape) != self.geometry.shape_zyx:
            raise InputError(f"Labels of shape {self.labels.shape} do not fit the grid {self.geometry.shape_zyx}.")
        if self.labels.dtype != np.uint8:
            raise InputError(f"Labels are {self.labels.dtype}; uint8 is expected.")
        values = [r.label for r in self.results]
        if len(set(values)) != len(values) or 0 in values:
            raise InputError(f"Label values {values} must be distinct and not 0 (background).")

    def mask(self, organ_name: str) -> np.ndarray:
        """Return the bool (z, y, x) mask of one organ, by its TG-263 name."""
        for result in self.results:
            if result.organ.name == organ_name:
                return self.labels == result.label
        raise InputError(f"No organ {organ_name!r} here; there are {', '.join(r.organ.name for r in self.results)}.")

    def __repr__(self) -> str:  # a dataclass would print the voxels and all of the provenance
        organs = ", ".join(
            f"{r.organ.name} {r.volume_ml:.1f} ml" if r.found else f"{r.organ.name} not found" for r in self.results
        )
        model = self.provenance.get("model")
        return f"Segmentation({self.geometry.short()}{f', model {model}' if model else ''}: {organs or 'no organ'})"
