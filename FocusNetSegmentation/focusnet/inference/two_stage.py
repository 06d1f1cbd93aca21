"""Segment one scan on the network's grid in two stages: all organs first, then each small organ in its own ROI (section 3.1, Fig. 2).

Segmenting and validating during training both run through here, so that what is selected is what will be used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..image.volume import Geometry
from ..nets.config import NetworkConfig
from ..progress import Progress, ProgressCallback, silent
from .arrays import Box
from .backends import Backend
from .certainty import SlicewiseSums, winning
from .chunks import HEAT_MAP, SECOND_PEAK, SNET, Localizer, OrganLocation, run_chunks
from .orientation_check import OrganFit
from .overlay import THRESHOLD, SmallOrgan, erase_organ, overlap, overlay, part_beyond
from .places import NOWHERE, SnetVoxels, take_places
from .restore import StreamingArgmax, roi_on_target

FIRST_NETWORKS = "The network for small organs drew nothing there; what is drawn is that of the network for all organs."
SeedVoxels = Mapping[
    str, tuple[int, int, int]
]  # organ -> voxel (z, y, x) of the network's grid at which it is looked for


@dataclass(frozen=True)
class Grids:
    """``network``: the grid of the CT that the networks see; ``target``: the grid, of the same directions, that labels are built on."""

    network: Geometry
    target: Geometry


@dataclass(frozen=True)
class TwoStage:
    """Runs the networks of ``config`` on scans.

    ``chunk_slices``: slices that go through the network at once. ``smallest_peak``: small organs whose heat-map maximum is lower keep
    S-Net's voxels; None for ``config.location_threshold``. ``report`` is told of progress between 0.05 and 0.87. ``sums`` collects what
    ``certainty_of`` needs, where it is wanted. ``check_places``: compare the places of small organs with S-Net's voxels and with each other
    (``places``); without it each heat map's maximum is taken, as in the paper.
    """

    config: NetworkConfig
    backend: Backend
    chunk_slices: int
    smallest_peak: float | None = None
    report: ProgressCallback = silent
    sums: SlicewiseSums | None = None
    check_places: bool = False

    @torch.inference_mode()
    def segment(
        self, ct: Tensor, grids: Grids, seeds: SeedVoxels | None = None
    ) -> tuple[Tensor, dict[str, OrganLocation]]:
        """Return labels (uint8, z, y, x, on ``grids.target``) and the location of each small organ, on the backend's device.

        ``ct``: network intensities, float32 (D, H, W) on ``grids.network``, moved to the backend's device if it is not there.
        ``seeds``: where a person said that small organs are.
        """
        config = self.config
        ct = ct.to(self.backend.torch_device)
        # what stands where S-Net drew a small organ is kept too: SOS-Net may draw it elsewhere
        small = [config.organs.index(o) + 1 for o in config.small_organs] if config.has_sos else []
        labels = StreamingArgmax(grids.target, grids.network, small, self.backend.torch_device)
        localizer = Localizer(config, _shape(ct), seeds or {})
        snet = SnetVoxels(config)
        for finished in run_chunks(ct, self.backend, config, self.chunk_slices):
            labels.add(finished.output.probabilities)
            localizer.add(finished)
            if self.sums is not None:
                self.sums.add(finished.output.probabilities)
            if self.check_places and config.small_organs:
                winners = self.sums.winners[-1] if self.sums is not None else winning(finished.output.probabilities)
                snet.add(finished.output.probabilities, winners, finished.start)
            stop = finished.start + finished.output.probabilities.shape[1]
            del finished  # the next chunk needs the room
            self._tell("Segmenting all organs", stop / len(ct), f"slice {stop} of {len(ct)}")
        locations = localizer.locations
        if self.check_places:
            locations = self._checked_places(ct, locations, snet, grids.network)
        if labels.without_small is None:
            return labels.labels, locations
        return self._add_small_organs(labels.labels, labels.without_small, ct, locations, grids), locations

    @torch.inference_mode()
    def segment_at_seeds(self, ct: Tensor, grids: Grids, seeds: SeedVoxels) -> tuple[Tensor, dict[str, OrganLocation]]:
        """Return the same for the seeded organs alone: only the chunks that see their ROIs are run, all other labels stay 0."""
        ct = ct.to(self.backend.torch_device)
        locations = self._look_at(ct, seeds, lambda done: self._tell("Looking around the seed", done))
        nothing = torch.zeros(grids.target.shape_zyx, dtype=torch.uint8, device=ct.device)
        labels = self._add_small_organs(nothing.clone(), nothing, ct, locations, grids)
        alone = {organ: replace(at, both_networks_dsc=None, beyond_roi=None) for organ, at in locations.items()}
        return labels, alone  # S-Net drew nothing that could be compared with

    def _look_at(
        self, ct: Tensor, places: SeedVoxels, tell: Callable[[float], object] = lambda done: None
    ) -> dict[str, OrganLocation]:
        """Return the locations of organs whose ``places`` are given; only the chunks that see their ROIs are run."""
        localizer = Localizer(self.config, _shape(ct), places)
        slices = [location.roi.inside[0] for location in localizer.locations.values() if location.roi is not None]
        needed = range(min(s.start for s in slices), max(s.stop for s in slices))
        for finished in run_chunks(ct, self.backend, self.config, self.chunk_slices, needed):
            localizer.add(finished)
            stop = finished.start + finished.output.probabilities.shape[1]
            tell(min(1.0, (stop - needed.start) / len(needed)))
        return {organ: localizer.locations[organ] for organ in places}

    def _checked_places(
        self, ct: Tensor, locations: Mapping[str, OrganLocation], snet: SnetVoxels, network: Geometry
    ) -> dict[str, OrganLocation]:
        """Return the locations with what ``take_places`` says of them. Without SOS-Nets nothing is drawn at a location, so that none is moved."""
        taken = take_places(locations, snet.places(network.voxel_ml), network)
        checked = {}
        for organ, location in locations.items():
            checked[organ] = replace(location, remark=taken[organ].remark, wrong_side=taken[organ].wrong_side)
        moved = {organ: place for organ, place in taken.items() if place.source in (SNET, SECOND_PEAK)}
        if not self.config.has_sos:
            return checked
        for organ, place in taken.items():
            if place.source == HEAT_MAP and place.likelihood > locations[organ].peak:
                checked[organ] = replace(checked[organ], snet=place.likelihood)
        again = self._look_at(ct, {organ: place.voxel_zyx for organ, place in moved.items()}) if moved else {}
        for organ, place in taken.items():
            if place.source == NOWHERE:  # S-Net's voxels stay; a peak of 0 is below every threshold
                was = locations[organ]
                checked[organ] = replace(checked[organ], peak=0.0, second=(was.peak, was.peak_zyx), source=NOWHERE)
            elif organ in moved:
                was = locations[organ]
                checked[organ] = replace(
                    again[organ],
                    seeded=False,
                    source=place.source,
                    snet=place.likelihood if place.source == SNET else None,
                    second=(was.peak, was.peak_zyx),
                    remark=place.remark,
                    wrong_side=place.wrong_side,
                )
        return checked

    @torch.inference_mode()
    def locate(self, ct: Tensor) -> dict[str, OrganLocation]:
        """Return where SOL-Net finds each small organ in ``ct`` (D, H, W); nothing is segmented."""
        ct = ct.to(self.backend.torch_device)
        localizer = Localizer(self.config, _shape(ct))
        for finished in run_chunks(ct, self.backend, self.config, self.chunk_slices):
            localizer.add(finished)
        return localizer.locations

    @torch.inference_mode()
    def coarse_fits(self, ct: Tensor, voxel_ml: float) -> dict[str, OrganFit]:
        """Return how much of each organ S-Net finds in ``ct`` (D, H, W), and how sure it is. ``voxel_ml``: of the network's grid."""
        ct = ct.to(self.backend.torch_device)
        classes = len(self.config.organs) + 1
        voxels = torch.zeros(classes, dtype=torch.float64, device=ct.device)
        certainty = torch.zeros_like(voxels)
        for finished in run_chunks(ct, self.backend, self.config, self.chunk_slices):
            best, winners = finished.output.probabilities.max(dim=0)  # of (C + 1, d, H, W)
            voxels += torch.bincount(winners.flatten(), minlength=classes)
            certainty += torch.bincount(winners.flatten(), best.flatten().double(), minlength=classes)
        mean = (certainty / voxels.clamp(min=1)).tolist()
        return {
            organ: OrganFit(count * voxel_ml, mean[value])
            for value, (organ, count) in enumerate(zip(self.config.organs, voxels.tolist()[1:], strict=True), start=1)
        }

    def _add_small_organs(
        self,
        labels: Tensor,
        large_only: Tensor,
        ct: Tensor,
        locations: dict[str, OrganLocation],
        grids: Grids,
    ) -> Tensor:
        """Run SOS-Net once for each organ that SOL-Net is sure of and lay the results over the large organs, in place.

        An organ below the smallest peak keeps S-Net's own voxels, unless a person said where it is; so does one of which SOS-Net draws
        nothing, which is added to the remark of ``locations``.
        """
        config = self.config
        self.report(Progress("Segmenting small organs", 0.87))
        overlays = []
        kept: dict[int, Tensor] = {}
        by_snet: dict[str, Tensor] = {}  # voxels (n, 3), because a mask of each organ would take half a gigabyte
        for organ in config.small_organs:
            location = locations.get(organ)
            if location is None or not self._is_looked_at(location):
                continue
            value = config.organs.index(organ) + 1
            window, on_target = self._small_organ(organ, location, ct, grids)
            first = labels == value
            if not location.seeded and not bool((on_target > THRESHOLD).any()) and bool(first.any()):
                locations[organ] = replace(location, remark=f"{location.remark} {FIRST_NETWORKS}".strip())
                kept[value] = first
                continue
            by_snet[organ] = first.nonzero()
            beyond = part_beyond(by_snet[organ], window, grids.target.spacing_mm_zyx)
            locations[organ] = replace(location, beyond_roi=beyond)
            erase_organ(labels, large_only, value, window[0] if organ in config.long_organs else slice(None))
            overlays.append(SmallOrgan(value, window, on_target))
        whole = overlay(labels, overlays)
        for value, first in kept.items():  # a globe's SOS-Net fills the place of a lens that no SOS-Net drew
            whole[first] = value
        for organ, voxels in by_snet.items():
            both = overlap(whole, config.organs.index(organ) + 1, voxels)
            locations[organ] = replace(locations[organ], both_networks_dsc=both)
        return whole

    def _is_looked_at(self, location: OrganLocation) -> bool:
        """Return whether SOS-Net segments an organ there: all of its ROI was seen and its place is sure enough."""
        smallest_peak = self.config.location_threshold if self.smallest_peak is None else self.smallest_peak
        if location.roi is None or location.features is None or location.source == NOWHERE:
            return False
        return location.is_sure(smallest_peak)

    def _small_organ(self, organ: str, location: OrganLocation, ct: Tensor, grids: Grids) -> tuple[Box, Tensor]:
        """Return the window of the target grid under the organ's ROI and SOS-Net's probability there (z, y, x)."""
        roi = location.roi
        assert roi is not None
        assert location.features is not None
        probability = self.backend.small_organ(organ, location.features, roi.crop(ct[None, None]))  # (d, h, w)
        inside = tuple(slice(0, s.stop - s.start) for s in roi.inside)  # without what was padded
        return roi_on_target(probability[inside], roi.start_zyx, grids.target, grids.network)

    def _tell(self, step: str, done: float, message: str = "") -> None:
        self.report(Progress(step, 0.05 + 0.8 * done, message))


def _shape(ct: Tensor) -> tuple[int, int, int]:
    slices, rows, columns = ct.shape
    return (slices, rows, columns)
