"""A CT in, organs out: preprocess, S-Net and SOL-Net in chunks, SOS-Net once per small organ, overlay, restore."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ..errors import FocusNetError, InputError
from ..image.organs import Organ, find_organ
from ..image.segmentation import OrganResult, Segmentation
from ..image.volume import Geometry, Volume
from ..nets.bundle import ModelBundle
from ..nets.config import NetworkConfig
from ..progress import Progress, ProgressCallback, silent
from ..version import __version__
from ..wording import DISCLAIMER
from .backends import Backend, make_backend
from .chunks import Localizer, OrganLocation, stream_slices
from .devices import Device, choose_device
from .heatmap_shape import ball_radius_mm
from .islands import remove_islands
from .overlay import SmallOrgan, erase_organ, overlay
from .preprocess import PreprocessRecord, preprocess
from .restore import StreamingArgmax, restore, roi_on_target, working_grid
from .seed_points import Seeds, check_seeds, seed_voxels

SMALLEST_CHUNK = 8  # slices: below this an out-of-memory retry is pointless


def segment(
    volume: Volume,
    bundle: ModelBundle,
    device: str = "auto",
    precision: str = "auto",
    organs: Sequence[str] | None = None,
    backend: str = "auto",
    progress: ProgressCallback | None = None,
    seeds: Seeds | None = None,
) -> Segmentation:
    """Contour a CT. ``organs``: TG-263 names or synonyms to keep, None for all that the bundle knows.

    ``seeds``: organ name to (x, y, z) in LPS mm: SOS-Net looks there, whatever the heat map says. With ``organs`` all of them seeded, only
    the slices around the seeds are run.

    ``progress`` is called with ``Progress`` and may raise ``Cancelled``. When memory runs out, smaller chunks are tried, then the
    CPU; what was tried stands in the result's provenance. Raises InputError for what cannot be segmented.
    """
    report = progress or silent
    wanted = choose_organs(bundle, organs)
    places_mm = check_seeds(bundle, seeds)
    chosen = choose_device(device, precision)
    started = time.monotonic()
    report(Progress("Preparing the scan", 0.0))
    ct, record = preprocess(volume, bundle.config)
    voxels = seed_voxels(places_mm, record)
    run = run_at_seeds if wanted <= set(voxels) else run_networks
    retries: list[str] = []
    attempt: Device | None = chosen
    chunk = bundle.config.chunk_when_segmenting
    while attempt is not None:
        try:
            network = make_backend(bundle, attempt, backend, chunk)
            labels, places = run(ct, record, bundle.config, network, chunk, report, voxels)
            break
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as problem:
            if not is_out_of_memory(problem):
                raise
            attempt, chunk, note = next_attempt(attempt, chunk, bundle.config)
            retries.append(note)
            report(Progress("Out of memory", 0.05, note))
    else:
        raise FocusNetError(
            f"Out of memory even with chunks of {SMALLEST_CHUNK} slices on the CPU; close other programs or use a smaller model."
        )
    report(Progress("Restoring the scan's own grid", 0.95))
    restored = restore(labels, working_grid(record), record)
    islands = remove_islands(restored, bundle.config.island_fraction)
    results = describe(restored, volume.geometry, bundle, record, places, islands)
    kept = tuple(r for r in results if r.organ.name in wanted)
    dropped = [r.label for r in results if r.organ.name not in wanted]
    if dropped:
        restored[np.isin(restored, dropped)] = 0
    report(Progress("Done", 1.0))
    return Segmentation(
        labels=restored,
        geometry=volume.geometry,
        results=kept,
        provenance={
            **provenance(volume, bundle, attempt, network, chunk, retries, time.monotonic() - started),
            **({"seeds_mm_lps": {organ: list(place) for organ, place in places_mm.items()}} if places_mm else {}),
        },
    )


def run_networks(
    ct: np.ndarray,
    record: PreprocessRecord,
    config: NetworkConfig,
    backend: Backend,
    chunk_slices: int,
    report: ProgressCallback,
    seeds: Mapping[str, tuple[int, int, int]],
) -> tuple[np.ndarray, dict[str, OrganLocation]]:
    """Network intensities (D, H, W) to labels on ``working_grid(record)`` and where each small organ was found.

    ``seeds``: voxels (z, y, x) of the network's grid at which small organs are looked for.
    """
    target = working_grid(record)
    everything = StreamingArgmax(target, record.network)
    # what stands where a small organ is taken out again, because SOS-Net has its own opinion of it
    large_only = StreamingArgmax(target, record.network) if config.has_sos else None
    localizer = Localizer(config, ct.shape, seeds)
    values = np.arange(len(config.organs) + 1)
    small = np.array([config.organs.index(o) + 1 for o in config.small_organs], int)
    large = np.delete(values, small)
    for slab in stream_slices(ct, backend, config, chunk_slices):
        probabilities = slab.output.probabilities
        channels = list(probabilities)
        everything.add(channels, values)
        if large_only is not None:
            background = probabilities[0] + probabilities[small].sum(axis=0)
            large_only.add([background, *(channels[v] for v in large[1:])], large)
        localizer.add(slab)
        done = (slab.start + probabilities.shape[1]) / ct.shape[0]
        del slab, probabilities, channels  # the next chunk needs the room
        report(
            Progress("Segmenting all organs", 0.05 + 0.8 * done, f"slice {round(done * ct.shape[0])} of {ct.shape[0]}")
        )
    labels = everything.labels
    if large_only is not None:
        report(Progress("Segmenting small organs", 0.87))
        labels = add_small_organs(
            labels, large_only.labels, ct, localizer.locations, config, backend, target, record.network
        )
    return labels, localizer.locations


def run_at_seeds(
    ct: np.ndarray,
    record: PreprocessRecord,
    config: NetworkConfig,
    backend: Backend,
    chunk_slices: int,
    report: ProgressCallback,
    seeds: Mapping[str, tuple[int, int, int]],
) -> tuple[np.ndarray, dict[str, OrganLocation]]:
    """As ``run_networks``, for the seeded organs alone: only the chunks that see their ROIs are run, all other labels stay 0."""
    localizer = Localizer(config, ct.shape, seeds)
    slices = [localizer.locations[organ].roi.inside[0] for organ in seeds]  # type: ignore[union-attr]
    needed = range(min(s.start for s in slices), max(s.stop for s in slices))
    for slab in stream_slices(ct, backend, config, chunk_slices, needed):
        localizer.add(slab)
        done = min(1.0, (slab.start + slab.output.probabilities.shape[1] - needed.start) / len(needed))
        report(Progress("Looking around the seed", 0.05 + 0.8 * done))
    target = working_grid(record)
    nothing = np.zeros(target.shape_zyx, np.uint8)
    found = {organ: localizer.locations[organ] for organ in seeds}
    report(Progress("Segmenting small organs", 0.87))
    labels = add_small_organs(nothing.copy(), nothing, ct, found, config, backend, target, record.network)
    return labels, found


def add_small_organs(
    labels: np.ndarray,
    large_only: np.ndarray,
    ct: np.ndarray,
    places: dict[str, OrganLocation],
    config: NetworkConfig,
    backend: Backend,
    target: Geometry,
    network: Geometry,
) -> np.ndarray:
    """Run SOS-Net once for each organ that SOL-Net is sure of and lay the results over the large organs.

    An organ below the threshold keeps S-Net's own voxels, unless a person said where it is.
    """
    overlays = []
    tensor = torch.from_numpy(ct)[None, None]
    for organ in config.small_organs:
        place = places.get(organ)
        if place is None or place.roi is None or place.features is None:
            continue
        if place.peak < config.location_threshold and not place.seeded:
            continue
        value = config.organs.index(organ) + 1
        probability = backend.small_organ(organ, place.features, place.roi.crop(tensor))
        valid = tuple(slice(0, s.stop - s.start) for s in place.roi.inside)
        window, on_target = roi_on_target(probability[valid], place.roi.start_zyx, target, network)
        erase_organ(labels, large_only, value, window[0] if organ in config.long_organs else slice(None))
        overlays.append(SmallOrgan(value, window, on_target))
    return overlay(labels, overlays)


def choose_organs(bundle: ModelBundle, organs: Sequence[str] | None) -> set[str]:
    """TG-263 names of the organs that were asked for. Raises InputError for names that are unknown or not in the bundle."""
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


def is_out_of_memory(problem: BaseException) -> bool:
    text = str(problem).lower()
    return isinstance(problem, (torch.OutOfMemoryError, MemoryError)) or any(
        phrase in text
        for phrase in ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")
    )


def next_attempt(device: Device, chunk: int, config: NetworkConfig) -> tuple[Device | None, int, str]:
    """What to try after running out of memory: half the chunk; at the end of that the CPU; then nothing (None)."""
    multiple = config.z_multiple
    half = chunk // 2 // multiple * multiple
    if half >= SMALLEST_CHUNK:
        return device, half, f"{device}: out of memory with chunks of {chunk} slices, trying {half}"
    if device.torch_device.type != "cpu":
        if device.torch_device.type == "cuda":
            torch.cuda.empty_cache()
        return (
            choose_device("cpu"),
            config.chunk_when_segmenting,
            f"{device}: out of memory with chunks of {chunk} slices, trying the CPU",
        )
    return None, chunk, f"{device}: out of memory with chunks of {chunk} slices"


def describe(
    labels: np.ndarray,
    geometry: Geometry,
    bundle: ModelBundle,
    record: PreprocessRecord,
    places: dict[str, OrganLocation],
    islands: dict[int, tuple[int, int]],
) -> list[OrganResult]:
    """One OrganResult per organ of the bundle, with what its reader should be warned of.

    ``islands``: label value -> (parts, voxels) that were removed as specks.
    """
    counts = np.bincount(labels.ravel(), minlength=len(bundle.organs) + 1)
    voxel_ml = geometry.voxel_ml
    cut = organs_at_ends(labels, record)
    results = []
    for value, organ in enumerate(bundle.organs, start=1):
        place = places.get(organ.name)
        warnings = organ_warnings(organ, int(counts[value]), place, bundle.config, value in cut)
        if value in islands:
            warnings.append(islands_warning(*islands[value], voxel_ml))
        sure = place is None or place.seeded or place.peak >= bundle.config.location_threshold
        results.append(
            OrganResult(
                organ=organ,
                label=value,
                found=bool(counts[value]) and sure,
                volume_ml=float(counts[value]) * voxel_ml,
                peak=None if place is None else place.peak,
                peak_mm_xyz=None if place is None else _tuple3(record.network.index_to_mm(np.array(place.peak_zyx))),
                **_heat_shape(place, record.network),
                warnings=tuple(warnings),
            )
        )
    return results


def organ_warnings(
    organ: Organ, voxels: int, place: OrganLocation | None, config: NetworkConfig, cut: bool
) -> list[str]:
    warnings = []
    if place is not None and place.seeded:
        warnings.append(f"Looked for at the place given by the user, where the heat map is {place.peak:.2f}.")
    elif place is not None and place.peak < config.location_threshold:
        warnings.append(
            f"Not localized with confidence: heat-map peak {place.peak:.2f}, {config.location_threshold:.2f} expected"
            + ("; the voxels shown are S-Net's own." if voxels else ".")
        )
    if voxels == 0:
        warnings.append("Not found in this scan.")
    elif cut:
        warnings.append("Reaches the first or last slice of the scan: it may continue outside.")
    return warnings


def islands_warning(parts: int, voxels: int, voxel_ml: float) -> str:
    noun = "part" if parts == 1 else "parts"
    return f"{parts} separate {noun}, {voxels * voxel_ml:.2f} ml in all, removed as too small to belong to the organ."


def organs_at_ends(labels: np.ndarray, record: PreprocessRecord) -> set[int]:
    """Label values in the scan's lowest or highest slice."""
    axis = record.axes_zyx[0]
    first, last = np.take(labels, 0, axis=axis), np.take(labels, labels.shape[axis] - 1, axis=axis)
    return {int(v) for v in np.union1d(first, last)} - {0}


def provenance(
    volume: Volume,
    bundle: ModelBundle,
    device: Device | None,
    backend: Backend,
    chunk: int,
    retries: list[str],
    seconds: float,
) -> dict[str, Any]:
    """What a reader needs to repeat or to doubt the result."""
    return {
        "model": bundle.name,
        "model_version": bundle.version,
        "bundle_sha256": bundle.digest,
        "focusnet_version": __version__,
        "torch_version": torch.__version__,
        "python_version": platform.python_version(),
        "device": str(device),
        "precision": device.precision if device is not None else "",
        "backend": backend.name,
        "chunk_slices": chunk,
        "retries": retries,
        "seconds": round(seconds, 2),
        "source": volume.source,
        "notes": list(volume.notes),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "disclaimer": DISCLAIMER,
        **({"caution": bundle.caution} if bundle.caution else {}),
    }


def _heat_shape(place: OrganLocation | None, network: Geometry) -> dict[str, Any]:
    """How clear the localization was, for OrganResult."""
    known: dict[str, Any] = {}
    if place is not None and place.second is not None:
        value, voxel = place.second
        known = {"second_peak": value, "second_mm_xyz": _tuple3(network.index_to_mm(np.array(voxel)))}
    if place is not None and place.above_half is not None:
        known["spread_mm"] = ball_radius_mm(place.above_half, network.spacing_mm_zyx)
    return known


def _tuple3(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return (x, y, z)
