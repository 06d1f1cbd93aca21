"""Check SOL-Net's places against S-Net's own voxels, and left organs against right ones (not in the paper, which takes each heat map's maximum).

The two networks look for the same organ in different ways: where they are far apart one of them is wrong, and the likelier place is taken.
A heat map's maximum and S-Net's mean probability are both numbers from 0 to 1 that say how sure a network is, which is all that they are compared
as. What is never taken is a place that puts a left organ to the right of its partner.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from ..image.organ_volumes import MOST_ML
from ..image.organs import mirrored, without_side
from ..image.volume import Geometry
from ..nets.config import NetworkConfig
from .chunks import HEAT_MAP, SECOND_PEAK, SEED, SNET, OrganLocation

FEWEST_VOXELS, SMALLEST_ML = 3, 0.02  # half a lens: fewer voxels of S-Net are specks, not a place
LARGEST_ML = 100.0  # of an organ that the table of volumes lacks
SIDES_APART_MM = 10.0  # between the middles of a pair, across the body; no pair of the head comes closer, in a child or a tilted head either
NOWHERE = "nowhere"
PERSON = 2.0  # likelihood of a place that a person gave: more than any network's
Voxel = tuple[int, int, int]


@dataclass(frozen=True)
class SnetPlace:
    """The part of an organ that S-Net is surest of: its middle ``voxel_zyx``, all its voxels (n, 3; z, y, x) and their mean ``probability``."""

    voxel_zyx: Voxel
    voxels_zyx: np.ndarray
    probability: float

    def gap_mm(self, voxel_zyx: Voxel, spacing_mm_zyx: tuple[float, float, float]) -> float:
        """Return the distance from a voxel to the nearest one of the part, in mm."""
        apart = (self.voxels_zyx - np.array(voxel_zyx)) * np.array(spacing_mm_zyx)
        return float(np.sqrt((apart**2).sum(axis=1)).min())


@dataclass
class SnetVoxels:
    """Collects the voxels that S-Net gives to each small organ, as its probabilities stream by."""

    config: NetworkConfig
    _found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = field(default_factory=dict)

    def add(self, probabilities: Tensor, winners: Tensor, start: int) -> None:
        """Add the next slab: probabilities (C + 1, z, y, x), background first, and which of them wins (z, y, x). ``start``: its first slice."""
        there = torch.bincount(winners.flatten().int(), minlength=len(self.config.organs) + 1)
        for organ in self.config.small_organs:
            value = self.config.organs.index(organ) + 1
            if there[value]:
                mask = winners == value
                places = mask.nonzero().cpu().numpy() + np.array([start, 0, 0])
                self._found.setdefault(organ, []).append((places, probabilities[value][mask].float().cpu().numpy()))

    def places(self, voxel_ml: float) -> dict[str, SnetPlace]:
        """Return the place of each organ of which S-Net drew more than specks; a voxel has ``voxel_ml``."""
        fewest = max(FEWEST_VOXELS, SMALLEST_ML / voxel_ml)
        found = {
            organ: _surest_part(*map(np.concatenate, zip(*parts, strict=True))) for organ, parts in self._found.items()
        }
        return {organ: place for organ, place in found.items() if len(place.voxels_zyx) >= fewest}


def _surest_part(voxels: np.ndarray, probabilities: np.ndarray) -> SnetPlace:
    """Return the connected part of ``voxels`` (n, 3) with the highest sum of probabilities (n,)."""
    low = voxels.min(axis=0)
    box = np.zeros(voxels.max(axis=0) - low + 1, bool)
    local = tuple((voxels - low).T)
    box[local] = True
    parts = ndimage.label(box, np.ones((3, 3, 3)))[0][local]
    best = parts == np.bincount(parts, probabilities).argmax()
    part = voxels[best]
    middle = part[((part - part.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    return SnetPlace((int(middle[0]), int(middle[1]), int(middle[2])), part, float(probabilities[best].mean()))


def limit_mm(organ: str) -> float:
    """Return how far a heat map's maximum may lie from S-Net's voxels: the radius of a ball as large as the organ can be (MOST_ML), 7 mm
    for a lens, 10 for an optic nerve, 28 for the brainstem."""
    ml = MOST_ML.get(without_side(organ), LARGEST_ML)
    return float((1000.0 * ml * 3 / (4 * np.pi)) ** (1 / 3))


@dataclass(frozen=True)
class TakenPlace:
    """Where an organ is looked for. ``source``: HEAT_MAP, SNET, SECOND_PEAK, SEED or NOWHERE. ``likelihood``: 0 to 1, of the network whose place it is,
    or of the surer one where both agree.

    ``remark``: what a reader must know of the choice, "" where nothing spoke against the heat map's maximum; ``wrong_side``: it lay where the organ
    cannot be.
    """

    source: str
    voxel_zyx: Voxel
    likelihood: float
    remark: str = ""
    wrong_side: bool = False


def take_places(
    locations: Mapping[str, OrganLocation], snet: Mapping[str, SnetPlace], network: Geometry
) -> dict[str, TakenPlace]:
    """Return the place of each organ of ``locations``. ``network``: the upright grid of the voxels, x running to the patient's left."""
    spacing = network.spacing_mm_zyx
    options = {organ: _options(organ, at, snet.get(organ), spacing) for organ, at in locations.items()}
    taken = {organ: max(found[:2], key=lambda place: place.likelihood) for organ, found in options.items()}
    taken = {
        organ: _with_remark(organ, place, locations[organ], snet.get(organ), spacing) for organ, place in taken.items()
    }
    for left, right in _pairs(locations):
        by_hand = taken[left].source == taken[right].source == SEED
        if not by_hand and not _sides_are_right(taken[left], taken[right], spacing[2]):
            for organ, place in zip(
                (left, right), _on_their_sides(options[left], options[right], spacing[2]), strict=True
            ):
                taken[organ] = _moved(place, options[organ][0], locations[organ].peak, mirrored(organ))
    return taken


def _options(
    organ: str, at: OrganLocation, snet: SnetPlace | None, spacing: tuple[float, float, float]
) -> list[TakenPlace]:
    """Return the places where an organ may be: the heat map's maximum first, then S-Net's if it is another place, then the next maximum."""
    if at.seeded:
        return [TakenPlace(SEED, at.peak_zyx, PERSON)]
    if snet is None:
        found = [
            TakenPlace(HEAT_MAP, at.peak_zyx, at.peak)
        ] * 2  # the first two of the list are always heat map and S-Net
    elif snet.gap_mm(at.peak_zyx, spacing) > limit_mm(organ):
        found = [TakenPlace(HEAT_MAP, at.peak_zyx, at.peak), TakenPlace(SNET, snet.voxel_zyx, snet.probability)]
    else:  # both see it there: as sure as the surer of them
        found = [TakenPlace(HEAT_MAP, at.peak_zyx, max(at.peak, snet.probability))] * 2
    return found if at.second is None else [*found, TakenPlace(SECOND_PEAK, at.second[1], at.second[0])]


def _with_remark(
    organ: str, place: TakenPlace, at: OrganLocation, snet: SnetPlace | None, spacing: tuple[float, float, float]
) -> TakenPlace:
    if at.seeded or snet is None or (gap := snet.gap_mm(at.peak_zyx, spacing)) <= limit_mm(organ):
        return place
    which = "S-Net's voxels were" if place.source == SNET else "the heat map's place was"
    text = (
        f"Its heat map is highest ({at.peak:.2f} of 1) {gap:.0f} mm from the voxels that S-Net drew (mean probability {snet.probability:.2f}); "
        f"{limit_mm(organ):.0f} mm are usual at most. The likelier, {which} taken."
    )
    return TakenPlace(place.source, place.voxel_zyx, place.likelihood, text)


def _pairs(locations: Mapping[str, OrganLocation]) -> Iterator[tuple[str, str]]:
    """Yield (left organ, right organ) where both were looked for."""
    for organ in locations:
        if organ.endswith("_L") and mirrored(organ) in locations:
            yield organ, mirrored(organ)


def _sides_are_right(left: TakenPlace, right: TakenPlace, spacing_x: float) -> bool:
    if NOWHERE in (left.source, right.source):
        return True
    return (left.voxel_zyx[2] - right.voxel_zyx[2]) * spacing_x >= SIDES_APART_MM


def _on_their_sides(
    left: Sequence[TakenPlace], right: Sequence[TakenPlace], spacing_x: float
) -> tuple[TakenPlace, TakenPlace]:
    """Return the likeliest two of a pair's places of which the left organ's lies to the left; one of them is nowhere if there are no such two."""
    nowhere = TakenPlace(NOWHERE, (0, 0, 0), 0.0)
    possible = [(a, b) for a, b in product([*left, nowhere], [*right, nowhere]) if _sides_are_right(a, b, spacing_x)]
    return max(possible, key=lambda pair: pair[0].likelihood + pair[1].likelihood)


def _moved(place: TakenPlace, first: TakenPlace, peak: float, partner: str) -> TakenPlace:
    """Return a place with what is to be said of it, where it is not the ``first`` of the organ's places. ``peak``: of its heat map."""
    if place.source == first.source:
        return place
    instead = {
        SNET: f"S-Net's voxels (mean probability {place.likelihood:.2f}) were taken",
        SECOND_PEAK: f"the next likely place ({place.likelihood:.2f}) was taken",
        NOWHERE: "no other place is likely, so none was taken",
    }[place.source]
    side = "left" if partner.endswith("_R") else "right"
    text = f"Its heat map is highest ({peak:.2f} of 1) where {partner} is looked for or beyond, which cannot be on the {side}; {instead}."
    return TakenPlace(place.source, place.voxel_zyx, place.likelihood, text, wrong_side=True)
