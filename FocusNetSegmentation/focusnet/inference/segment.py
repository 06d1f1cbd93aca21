"""Segment a CT: preprocess, run the networks, restore the scan's own grid, describe what was found."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..errors import FocusNetError
from ..image.as_volume import as_volume
from ..image.segmentation import OrganResult, Segmentation
from ..image.volume import Volume
from ..nets.config import NetworkConfig
from ..progress import Progress, ProgressCallback, silent
from .backend_choice import choose_backend, note_run
from .backends import forget_backend, kept_backend
from .certainty import SlicewiseSums, certainties_of, mirrored_winners
from .chunks import OrganLocation
from .devices import Device, choose_device
from .islands import remove_islands, remove_loose_parts
from .options import SegmentOptions
from .orientation_check import Doubted, Fits, check_orientation
from .preprocess import PreprocessRecord, preprocess
from .restore import download, restore, working_grid
from .results import Removed, describe, provenance
from .seed_points import seed_voxels
from .several_models import segment_with_several
from .two_stage import Grids, TwoStage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from SimpleITK import Image as SitkImage
    from typing_extensions import TypedDict, Unpack

    from ..nets.several import Model
    from .seed_points import Seeds

    class Choices(TypedDict, total=False):
        """The fields of SegmentOptions that most callers leave alone."""

        precision: str
        organs: Sequence[str] | None
        backend: str
        seeds: Seeds | None
        qa_passes: int
        check_orientation: bool


SMALLEST_CHUNK = 8  # slices: below this an out-of-memory retry is pointless


def segment(
    volume: Volume | SitkImage,
    bundle: Model | Sequence[Model],
    device: str = "auto",
    *,
    progress: ProgressCallback | None = None,
    **choices: Unpack[Choices],
) -> Segmentation:
    """Contour a CT. ``volume``: a Volume or a SimpleITK image; ``bundle``: a model bundle, or its name or folder, or several
    (a list, or "NAME,NAME"), whose results are merged; keywords ``precision``, ``organs``, ``backend``, ``seeds`` and ``qa_passes``: see
    SegmentOptions.

    ``progress`` is called with ``Progress`` and may raise ``Cancelled``. Raises InputError for what cannot be segmented, ModelError for a
    bundle that cannot be used, TypeError with the remedy for a ``volume`` of another kind.
    """
    return segment_scan(as_volume(volume), SegmentOptions(bundle, device=device, **choices), progress)


def segment_scan(volume: Volume, options: SegmentOptions, progress: ProgressCallback | None = None) -> Segmentation:
    """Contour a CT as ``options`` say; labels lie on the scan's own grid. With several models their results are merged (``merge``).

    With ``organs`` all of them seeded, only the slices around the seeds are run. When memory runs out, smaller chunks are tried, then the
    CPU; what was tried stands in the result's provenance. Raises InputError for what cannot be segmented, FocusNetError where memory
    does not suffice.
    """
    report = progress or silent
    if len(options.bundles) > 1:
        return segment_with_several(volume, options, report, _segment_with_one)
    return _segment_with_one(volume, options, report)


def _segment_with_one(volume: Volume, options: SegmentOptions, report: ProgressCallback) -> Segmentation:
    bundle = options.bundle
    started = time.monotonic()
    report(Progress("Preparing the scan", 0.0))
    ct, record = _prepared(volume, options)
    done = _run_networks(ct, record, options, report)
    report(Progress("Restoring the scan's own grid", 0.95))
    labels = restore(download(done.labels, record), working_grid(record), record)
    uppermost = [bundle.config.organs.index(organ) + 1 for organ in bundle.config.uppermost_organs]
    removed = Removed(
        loose=remove_loose_parts(labels, uppermost, volume.geometry),
        islands=remove_islands(labels, bundle.config.island_fraction),
    )
    results = describe(labels, volume.geometry, bundle, record, done.locations, removed, done.certainties)
    checked = _check_orientation(volume, labels, results, options, done, report)
    dropped = [r.label for r in results if r.organ.name not in options.wanted]
    if dropped:
        labels[np.isin(labels, dropped)] = 0
    report(Progress("Done", 1.0))
    made = provenance(volume, bundle, done.device, done.backend, started)
    made |= {"chunk_slices": done.chunk_slices, "retries": done.retries, **checked}
    if options.seeds_mm:
        made["seeds_mm_lps"] = {organ: list(point) for organ, point in options.seeds_mm.items()}
    kept = tuple(r for r in results if r.organ.name in options.wanted)
    return Segmentation(labels=labels, geometry=volume.geometry, results=kept, provenance=made)


def _prepared(volume: Volume, options: SegmentOptions) -> tuple[Tensor, PreprocessRecord]:
    """Preprocess on the device, or on the CPU if the scan does not fit there beside what others keep on it."""
    try:
        return preprocess(volume, options.bundle.config, options.chosen_device.working_device)
    except torch.OutOfMemoryError:
        return preprocess(volume, options.bundle.config)


@dataclass(frozen=True)
class _NetworkRun:
    """``labels``: uint8 on ``working_grid`` of the record, on the device; what they were made with; ``retries``: what ran out of memory before."""

    labels: Tensor
    locations: Mapping[str, OrganLocation]
    device: Device
    backend: str
    chunk_slices: int
    retries: list[str]
    certainties: Mapping[str, Mapping[str, float]]


def _run_networks(
    ct: Tensor, record: PreprocessRecord, options: SegmentOptions, report: ProgressCallback
) -> _NetworkRun:
    """Run both stages on ``ct`` (D, H, W); with less memory at a time where it runs out."""
    config = options.bundle.config
    seeds = seed_voxels(options.seeds_mm, record)
    grids = Grids(record.network, working_grid(record))
    retries: list[str] = []
    device: Device | None = options.chosen_device
    chunk = config.chunk_when_segmenting
    while device is not None:
        try:
            auto = options.backend == "auto"
            chosen = choose_backend(options.bundle, device) if auto else options.backend
            backend = kept_backend(options.bundle, device, chosen, chunk)
            began = time.monotonic()
            sums = SlicewiseSums()
            stages = TwoStage(config, backend, chunk, report=report, sums=sums, check_places=True)
            run = stages.segment_at_seeds if options.wanted <= set(seeds) else stages.segment
            labels, locations = run(ct, grids, seeds)
            if auto:
                note_run(options.bundle, device, backend, ct, chunk, time.monotonic() - began)
            mirrored = None
            if options.qa_passes and sums.parts:
                report(Progress("Segmenting the mirrored scan", 0.88))
                mirrored = mirrored_winners(ct, backend, config, chunk)
            certainties = certainties_of(sums, config, record.network, mirrored)
            return _NetworkRun(labels, locations, device, backend.name, chunk, retries, certainties)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as problem:
            if not is_out_of_memory(problem):
                raise
            forget_backend()
            device, chunk, note = next_attempt(device, chunk, config)
            retries.append(note)
            report(Progress("Out of memory", 0.05, note))
    raise FocusNetError(
        f"Out of memory even with chunks of {SMALLEST_CHUNK} slices on the CPU; close other programs or use a smaller model."
    )


def _check_orientation(
    volume: Volume,
    labels: np.ndarray,
    results: Sequence[OrganResult],
    options: SegmentOptions,
    done: _NetworkRun,
    report: ProgressCallback,
) -> dict[str, Any]:
    """Return what ``check_orientation`` says of the result; {} where it was not asked for or only the surroundings of seeds were run."""
    bundle = options.bundle
    if not options.check_orientation or options.wanted <= set(options.seeds_mm):
        return {}

    def coarse_run(turned: Volume) -> Fits:
        ct, record = preprocess(turned, bundle.config, done.device.torch_device)
        backend = kept_backend(bundle, done.device, options.backend, done.chunk_slices)
        return TwoStage(bundle.config, backend, done.chunk_slices).coarse_fits(ct, record.network.voxel_ml)

    usual = bundle.manifest.get("volume_statistics", {})
    small = bundle.config.small_organs if bundle.config.has_sos else ()
    return check_orientation(volume, Doubted(results, labels, volume.geometry, usual, small), coarse_run, report)


def is_out_of_memory(problem: BaseException) -> bool:
    """Return True for an error of torch, OpenVINO or Python that says that memory ran out."""
    text = str(problem).lower()
    return isinstance(problem, (torch.OutOfMemoryError, MemoryError)) or any(
        phrase in text
        for phrase in ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")
    )


def next_attempt(device: Device, chunk: int, config: NetworkConfig) -> tuple[Device | None, int, str]:
    """Return device, slices and a sentence of what to try after running out of memory: half the chunk; at the end of that the CPU; then
    nothing (None)."""
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
