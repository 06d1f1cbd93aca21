"""Describe a result: one row per organ with what its reader should be warned of, and how the result was made."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ..image.ball import ball_radius_mm
from ..image.label_boxes import label_counts
from ..image.organ_volumes import ENDS_OUTSIDE, absurd_volume
from ..image.organs import Organ, without_side
from ..image.segmentation import BEYOND_ROI, BOTH_NETWORKS, OrganResult
from ..image.volume import Geometry, Volume
from ..nets.bundle import ModelBundle
from ..nets.config import NetworkConfig
from ..version import __version__
from ..wording import DISCLAIMER
from .chunks import OrganLocation
from .devices import Device
from .preprocess import PreprocessRecord


@dataclass(frozen=True)
class Removed:
    """What was taken away after the network. ``loose``: label value -> voxels of an uppermost organ that lay below it; ``islands``:
    label value -> (parts, voxels) that were removed as specks."""

    loose: Mapping[int, int]
    islands: Mapping[int, tuple[int, int]]


def describe(
    labels: np.ndarray,
    geometry: Geometry,
    bundle: ModelBundle,
    record: PreprocessRecord,
    locations: Mapping[str, OrganLocation],
    removed: Removed,
    certainties: Mapping[str, Mapping[str, float]] | None = None,
) -> list[OrganResult]:
    """Return one OrganResult per organ of the bundle, with what its reader should be warned of.

    ``labels``: uint8 (z, y, x) on ``geometry``, the scan's own grid. ``locations``: small organ -> where it was found, in voxels of the
    network's grid. ``removed``: what was taken away after the network. ``certainties``: organ -> how sure the network was.
    """
    counts = label_counts(labels)
    voxel_ml = geometry.voxel_ml
    cut = organs_at_ends(labels, record)
    usual_ml: Mapping[str, Mapping[str, float]] = bundle.manifest.get("volume_statistics", {})
    results = []
    for value, organ in enumerate(bundle.organs, start=1):
        location, volume_ml = locations.get(organ.name), float(counts[value]) * voxel_ml
        said = Remarks()
        say_how_located(said, bool(counts[value]), location, bundle.config)
        if counts[value]:
            usual = usual_ml.get(organ.name, {})
            say_size(said, organ, volume_ml, usual, scan_ml=labels.size * voxel_ml, cut=value in cut)
        if value in removed.loose:
            said.notes.append(
                f"{removed.loose[value] * voxel_ml:.1f} ml below it, joined to it by thin necks or not at all, were removed."
            )
        if value in removed.islands:
            said.notes.append(islands_note(*removed.islands[value], voxel_ml))
        sure = location is None or location.is_sure(bundle.config.location_threshold)
        results.append(
            OrganResult(
                organ=organ,
                label=value,
                found=bool(counts[value]) and sure,
                volume_ml=volume_ml,
                peak=None if location is None else location.peak,
                peak_mm_xyz=None
                if location is None
                else _tuple3(record.network.index_to_mm(np.array(location.peak_zyx))),
                place_from="" if location is None else location.source,
                place_likelihood=None if location is None else location.likelihood,
                **_heatmap_clarity(location, record.network),
                certainty=_certainty((certainties or {}).get(organ.name), location) if counts[value] else None,
                warnings=(*said.alarms, *said.warnings),
                notes=tuple(said.notes),
                alarms=tuple(said.alarms),
            )
        )
    return results


def _certainty(of_snet: Mapping[str, float] | None, location: OrganLocation | None) -> Mapping[str, float] | None:
    """Return S-Net's certainty and how far SOS-Net agrees with it; None where neither is known."""
    if location is None:
        return of_snet
    of_both = {BOTH_NETWORKS: location.both_networks_dsc, BEYOND_ROI: location.beyond_roi}
    known = {key: value for key, value in of_both.items() if value is not None}
    return {**(of_snet or {}), **known} or None


@dataclass
class Remarks:
    """Sentences about one organ by their gravity, as in OrganResult."""

    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)


def say_how_located(said: Remarks, drawn: bool, location: OrganLocation | None, config: NetworkConfig) -> None:
    """Add what is to be said of an organ's place. ``drawn``: it has voxels."""
    unsure = location is not None and not location.is_sure(config.location_threshold)
    certainty = (
        f"certainty {max(0.0, location.likelihood):.2f} of 1, {config.location_threshold:.2f} is needed"
        if location is not None and unsure
        else ""
    )
    if location is not None and location.seeded:
        said.notes.append(
            f"Looked for at the place given by the user; by itself the model gives that place {location.peak:.2f} of 1."
        )
    if location is not None and location.remark:
        (said.warnings if location.wrong_side else said.notes).append(location.remark)
    if not drawn:
        said.warnings.append(f"Not found in this scan{f' ({certainty})' if certainty else ''}.")
    elif unsure:
        said.alarms.append(
            f"Uncertain: the model is not sure where this organ is ({certainty}); what is drawn is a first guess."
        )


def say_size(
    said: Remarks, organ: Organ, volume_ml: float, usual_ml: Mapping[str, float], scan_ml: float, cut: bool
) -> None:
    """Add what is to be said of a drawn organ's volume, and of its reaching an end of the scan (``cut``). See ``absurd_volume``."""
    absurd = absurd_volume(organ.name, volume_ml, usual_ml, scan_ml, cut)
    if absurd:
        said.alarms.append(absurd)
    if cut:
        usual = without_side(organ.name) in ENDS_OUTSIDE
        text = "Reaches the first or last slice of the scan: it may continue outside."
        (said.notes if usual else said.warnings).append(text)


def islands_note(parts: int, voxels: int, voxel_ml: float) -> str:
    """Return the sentence that tells of removed parts; ``voxels`` in all of them, each of ``voxel_ml`` millilitres."""
    noun = "part" if parts == 1 else "parts"
    return f"{parts} separate {noun}, {voxels * voxel_ml:.2f} ml in all, removed as too small to belong to the organ."


def organs_at_ends(labels: np.ndarray, record: PreprocessRecord) -> set[int]:
    """Return the label values in the lowest or highest slice of ``labels`` (z, y, x on the scan's own grid)."""
    axis = record.axes_zyx[0]
    first, last = np.take(labels, 0, axis=axis), np.take(labels, labels.shape[axis] - 1, axis=axis)
    return {int(v) for v in np.union1d(first, last)} - {0}


def provenance(volume: Volume, bundle: ModelBundle, device: Device, backend: str, started: float) -> dict[str, Any]:
    """Return what a reader needs to repeat or to doubt the result. ``started``: of ``time.monotonic``, in seconds."""
    return {
        "model": bundle.name,
        "model_version": bundle.version,
        "bundle_sha256": bundle.digest,
        "focusnet_version": __version__,
        "torch_version": torch.__version__,
        "python_version": platform.python_version(),
        "device": str(device),
        "precision": device.precision,
        "backend": backend,
        "seconds": round(time.monotonic() - started, 2),
        "source": volume.source,
        "notes": list(volume.notes),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "disclaimer": DISCLAIMER,
        **({"caution": bundle.caution} if bundle.caution else {}),
    }


def _heatmap_clarity(location: OrganLocation | None, network: Geometry) -> dict[str, Any]:
    """Return the fields of OrganResult that say how clear the localization was."""
    known: dict[str, Any] = {}
    if location is not None and location.second is not None:
        value, voxel = location.second
        known = {"second_peak": value, "second_mm_xyz": _tuple3(network.index_to_mm(np.array(voxel)))}
    if location is not None and location.above_half is not None:
        known["spread_mm"] = ball_radius_mm(location.above_half, network.spacing_mm_zyx)
    return known


def _tuple3(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return (x, y, z)
