"""Run a scan through the network chunk by chunk: scores slice by slice in order, heat-map maxima over the whole scan, one ROI per
small organ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..nets.config import NetworkConfig
from ..nets.roi import Roi, roi_around
from .backends import Backend, ChunkOutput
from .heatmap_shape import HeatmapShape


@dataclass(frozen=True)
class FinishedSlices:
    """Slices ``start`` .. ``start + n`` of a scan that no later chunk changes. ``output``: their n slices, fields as in ChunkOutput."""

    start: int
    output: ChunkOutput


def run_chunks(
    ct: Tensor, backend: Backend, config: NetworkConfig, chunk_slices: int, needed: range | None = None
) -> Iterator[FinishedSlices]:
    """Run ``ct`` (float32, D, H, W) in chunks and yield each slice once, in order (section 4.2).

    ``needed``: only chunks that see one of these slices are run; what comes out for these slices is the same as of the whole scan.

    With ``config.stride`` equal to the chunk the chunks are stacked without overlap (the last chunk is moved back inside the scan
    and only its new slices count). A smaller stride averages what overlapping chunks say, as the released code does.
    """
    slices = ct.shape[0]
    stride = max(1, round(chunk_slices * config.stride / config.chunk_slices))
    multiple = config.z_multiple
    starts = chunk_starts(slices, chunk_slices, stride)
    if needed is not None:
        starts = [s for s in starts if s < needed.stop and s + chunk_slices > needed.start]
        slices = min(slices, starts[-1] + chunk_slices)
    if stride >= chunk_slices:
        done = starts[0]
        for start in starts:
            output = _run(ct, start, chunk_slices, multiple, backend)
            yield FinishedSlices(done, _slices(output, done - start, None))
            done = min(start + chunk_slices, slices)
        return
    pending: ChunkOutput | None = None
    counts = torch.zeros(0)
    begin = starts[0]
    for position, start in enumerate(starts):
        output = _run(ct, start, chunk_slices, multiple, backend)
        pending, counts = _accumulate(pending, counts, output, start - begin)
        following = starts[position + 1] if position + 1 < len(starts) else slices
        ready = following - begin
        yield FinishedSlices(begin, _divided(_slices(pending, 0, ready), counts[:ready]))
        pending, counts, begin = _slices(pending, ready, None), counts[ready:], following


def chunk_starts(slices: int, chunk: int, stride: int) -> list[int]:
    """Return the first slices of the chunks that cover ``slices`` slices; the last chunk ends with the scan."""
    if slices <= chunk:
        return [0]
    return [*range(0, slices - chunk, stride), slices - chunk]


HEAT_MAP, SECOND_PEAK, SNET, SEED = "heat map", "second peak", "S-Net", "seed"  # whose place an organ's location is


@dataclass
class OrganLocation:
    """Where one small organ is, as far as the scan has been seen: the heat map's maximum ``peak`` (0 to 1) and its voxel ``peak_zyx`` on
    the network's grid, the ``roi`` around it, and S-Net's ``features`` in the ROI (1, F, d, h, w) once all its slices have passed.

    ``seeded``: the location was given by a person, and ``peak`` is the heat map's value there. ``second``: value and voxel of the next
    likely location; ``above_half``: voxels with at least half of the peak. Neither is known of a seeded organ.

    ``source``: whose place it is; of one that is not the heat map's (``places``) ``peak`` is the heat map's value there, ``second`` its maximum,
    and ``snet`` S-Net's mean probability if the place is S-Net's, or if both agree and S-Net is the surer. ``remark``: what a reader must know of
    the place; ``wrong_side``: it is grave. ``both_networks_dsc``: overlap of what S-Net and SOS-Net drew; ``beyond_roi``: part of S-Net's voxels
    that lie beyond the ROI, near it; None where SOS-Net drew nothing of its own.
    """

    peak: float = -1.0
    peak_zyx: tuple[int, int, int] = (0, 0, 0)
    roi: Roi | None = None
    features: Tensor | None = None
    seeded: bool = False
    second: tuple[float, tuple[int, int, int]] | None = None
    above_half: int | None = None
    source: str = HEAT_MAP
    snet: float | None = None
    remark: str = ""
    wrong_side: bool = False
    both_networks_dsc: float | None = None
    beyond_roi: float | None = None

    @property
    def likelihood(self) -> float:
        """How sure the network is whose place it is, or the surer one where both agree, 0 to 1."""
        return self.peak if self.snet is None else max(self.peak, self.snet)

    def is_sure(self, threshold: float) -> bool:
        """Return whether the place is trusted: a person gave it, or it is at least as likely as ``threshold``."""
        return self.seeded or self.likelihood >= threshold


@dataclass
class Localizer:
    """Follows the chunks and keeps, per small organ, the scan-wide heat-map maximum and the features in the ROI around it.

    ``shape_zyx``: of the scan. ``seeds``: voxels (z, y, x) that stand in for the maximum. ``locations``: the result. Only the features of
    the last few slices are held between chunks: an ROI that crosses a chunk's border is cut from both.
    """

    config: NetworkConfig
    shape_zyx: tuple[int, int, int]
    seeds: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    locations: dict[str, OrganLocation] = field(default_factory=dict)
    _heat: dict[str, HeatmapShape] = field(default_factory=dict)
    _pieces: list[tuple[int, Tensor]] = field(
        default_factory=list
    )  # first slice, features (1, F, d, H, W); one after the other

    def __post_init__(self) -> None:
        for organ, center in self.seeds.items():
            roi = roi_around(center, self.config.roi_size_of(organ), self.shape_zyx)
            self.locations[organ] = OrganLocation(peak_zyx=center, roi=roi, seeded=True, source=SEED)

    def add(self, finished: FinishedSlices) -> None:
        """Take in the next slices of the scan; without heat maps there is nothing to follow."""
        heatmaps = finished.output.heatmaps
        if heatmaps is None:
            return
        features = finished.output.features
        if features is not None:
            self._pieces.append((finished.start, features))
        for channel, organ in enumerate(self.config.small_organs):
            location = self.locations.setdefault(organ, OrganLocation())
            if location.seeded:
                row = location.peak_zyx[0] - finished.start
                if 0 <= row < heatmaps.shape[1]:
                    location.peak = float(heatmaps[channel][(row, *location.peak_zyx[1:])])
                self._complete(location)
                continue
            heat = self._heat.setdefault(organ, HeatmapShape(self.config))
            peak, center = heat.add(heatmaps[channel], finished.start)
            if peak > location.peak:
                roi = roi_around(center, self.config.roi_size_of(organ), self.shape_zyx)
                self.locations[organ] = location = OrganLocation(peak, center, roi)
            location.second, location.above_half = heat.second(location.peak_zyx), heat.voxels_above_half(location.peak)
            self._complete(location)
        if features is not None:
            end = finished.start + features.shape[2]
            deepest = max(self.config.roi_size_of(organ)[0] for organ in self.config.small_organs)
            first = max(self._pieces[0][0], end - deepest)
            self._pieces = [(first, self._cut(slice(first, end)).clone())]

    def _complete(self, location: OrganLocation) -> None:
        """Cut the ROI's features as soon as all its slices have passed."""
        if not self._pieces or location.roi is None or location.features is not None:
            return
        z, y, x = location.roi.inside
        if z.stop > self._pieces[-1][0] + self._pieces[-1][1].shape[2]:
            return
        part = self._cut(z, y, x)
        location.features = Roi((0, 0, 0), location.roi.size_zyx, tuple(part.shape[2:])).crop(part).clone()  # type: ignore[arg-type]

    def _cut(self, z: slice, y: slice = slice(None), x: slice = slice(None)) -> Tensor:
        """Scan slices ``z`` of the features at hand; pieces are joined inside the box only, never as wholes."""
        parts = []
        for start, piece in self._pieces:
            low, high = max(z.start - start, 0), min(z.stop - start, piece.shape[2])
            if low < high:
                parts.append(piece[:, :, low:high, y, x])
        return torch.cat(parts, dim=2) if len(parts) > 1 else parts[0]


def _run(ct: Tensor, start: int, chunk_slices: int, multiple: int, backend: Backend) -> ChunkOutput:
    """One chunk; where the scan is shorter, its last slice is repeated up to the next slice count that can be pooled."""
    part = ct[start : start + chunk_slices]
    short = -part.shape[0] % multiple
    padded = torch.cat([part, part[-1:].expand(short, -1, -1)]) if short else part
    return _slices(backend.run(padded), 0, part.shape[0])


def _slices(output: ChunkOutput, start: int, stop: int | None) -> ChunkOutput:
    part = slice(start, stop)
    return ChunkOutput(
        output.probabilities[:, part],
        output.heatmaps[:, part] if output.heatmaps is not None else None,
        output.features[:, :, part] if output.features is not None else None,
    )


def _accumulate(
    pending: ChunkOutput | None, counts: Tensor, output: ChunkOutput, offset: int
) -> tuple[ChunkOutput, Tensor]:
    """Add a chunk that begins ``offset`` slices into what is pending; returns sums and how many chunks each slice has seen."""
    if pending is None:  # copied: a backend may use the memory of its output again
        features = output.features.clone() if output.features is not None else None
        heat = output.heatmaps.clone() if output.heatmaps is not None else None
        probabilities = output.probabilities.clone()
        return ChunkOutput(probabilities, heat, features), torch.ones(probabilities.shape[1])
    overlap = pending.probabilities.shape[1] - offset

    def joined(a: Tensor, b: Tensor, dim: int = 1) -> Tensor:
        """Sums along z (``dim``) of what is pending and of the new chunk."""
        length, more = a.shape[dim] - overlap, b.shape[dim] - overlap
        both = a.narrow(dim, length, overlap) + b.narrow(dim, 0, overlap)
        return torch.cat([a.narrow(dim, 0, length), both, b.narrow(dim, overlap, more)], dim=dim)

    heat = None
    if pending.heatmaps is not None and output.heatmaps is not None:
        heat = joined(pending.heatmaps, output.heatmaps)
    features = None
    if pending.features is not None and output.features is not None:
        features = joined(pending.features, output.features, dim=2)
    more = torch.cat([counts[:offset], counts[offset:] + 1, torch.ones(output.probabilities.shape[1] - overlap)])
    return ChunkOutput(joined(pending.probabilities, output.probabilities), heat, features), more


def _divided(output: ChunkOutput, counts: Tensor) -> ChunkOutput:
    by = counts.to(output.probabilities)[None, :, None, None]
    features = output.features
    if features is not None:
        features = features / by.to(features.dtype)
    heat = output.heatmaps / by if output.heatmaps is not None else None
    return ChunkOutput(output.probabilities / by, heat, features)
