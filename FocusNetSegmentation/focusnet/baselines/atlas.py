"""The multi-atlas baseline of the paper's Tables 1 and 2 (section 4.4): register contoured scans to the new one and vote.

SyN registration (Avants et al. 2008) is ANTs' own, through antspyx (extra ``atlas``). No torch.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DatasetError, InputError
from ..image.organs import Organ, find_organ
from ..image.orientation import from_upright, to_upright
from ..image.resample import resample_ct
from ..image.segmentation import OrganResult, Segmentation
from ..image.volume import Geometry, Volume
from ..progress import Progress, ProgressCallback, silent
from ..version import __version__
from ..wording import DISCLAIMER

if TYPE_CHECKING:
    from ..datasets.case import Case
    from ..datasets.file_dataset import Dataset

OUTSIDE = 255  # in warped labels: beyond the atlas's own field of view
REGISTRATION_MM = 3.0  # a finer scan is brought to this before registration: SyN's time grows with the voxels
HU_WINDOW = (-1000.0, 1000.0)  # metal and the table's plastic beyond it only disturb the mutual information
REGISTRATIONS = {"syn": "SyN", "affine": "Affine"}  # option -> ANTs' type_of_transform
FEW = 3  # an organ with fewer voters gets a warning


@dataclass(frozen=True)
class Warped:
    """One atlas registered to the scan's upright grid.

    ``labels``: uint8 (z, y, x), OUTSIDE beyond the atlas's field of view. ``contoured``: the label values that it may vote about.
    """

    name: str
    labels: np.ndarray
    contoured: frozenset[int]


@dataclass
class AtlasLog:
    """Atlases that were used, and notes about those that were not."""

    used: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class AtlasOptions:
    """How to segment by atlases.

    ``count``: atlases that vote (the paper's 9). ``organs``: names or synonyms to keep, None for all of the data set. ``registration``: a
    key of REGISTRATIONS. ``seed``: draws the atlases.
    """

    count: int = 9
    organs: Sequence[str] | None = None
    registration: str = "syn"
    seed: int = 0


DEFAULT = AtlasOptions()


def segment_by_atlases(
    volume: Volume,
    dataset: Dataset,
    options: AtlasOptions = DEFAULT,
    progress: ProgressCallback = silent,
) -> Segmentation:
    """Contour a CT by registered atlases of the split train that vote (section 4.4 of the paper).

    ``progress`` may raise ``Cancelled``. Raises InputError (antspyx is missing, no atlas can be registered, an organ is unknown) and
    DatasetError (fewer cases than ``options.count``).
    """
    count = options.count
    began = time.monotonic()
    wanted = wanted_labels(dataset.organs, options.organs)
    ants = import_ants()
    names = shuffled(dataset.patients("train"), count, options.seed)
    array, upright, axes, flips = to_upright(volume.array, volume.geometry)
    log = AtlasLog()
    warped: list[Warped] = []
    fixed = to_ants(ants, *registration_grid(np.asarray(array, np.float32), upright))
    for name in names:
        if len(warped) == count:
            break
        place = f"atlas {len(warped) + 1} of {count}: {name}"
        progress(Progress("Registering atlases", 0.95 * len(warped) / count, place))
        case = dataset.case("train", name)
        if case.hu.shape == array.shape and np.array_equal(case.hu, array):
            log.notes.append(f"{name} is this scan itself and was left out.")
            continue
        known = frozenset(dataset.organs.index(organ) + 1 for organ in case.contoured)
        if not known & set(wanted):
            continue  # it could not vote about anything
        try:
            labels = register(ants, case, fixed, upright, options.registration)
        except (RuntimeError, ValueError) as problem:
            log.notes.append(f"{name} could not be registered ({' '.join(str(problem).split())[:200]}).")
            continue
        warped.append(Warped(name, labels, known))
        log.used.append(name)
    if not warped:
        raise InputError(f"No atlas could be registered to {volume.source}: {' '.join(log.notes)}")
    if len(warped) < count:
        log.notes.append(f"{len(warped)} atlases voted, {count} were asked for.")
    progress(Progress("Voting", 0.97))
    labels = from_upright(vote(warped, sorted(wanted)), axes, flips)
    progress(Progress("Done", 1.0))
    return Segmentation(
        labels=labels,
        geometry=volume.geometry,
        results=tuple(describe(labels, volume.geometry, wanted, warped)),
        provenance=provenance(volume, log, options.registration, str(ants.__version__), time.monotonic() - began),
    )


def vote(warped: Sequence[Warped], values: Sequence[int]) -> np.ndarray:
    """Return the majority vote, organ by organ: uint8 labels (z, y, x) on the atlases' common grid.

    An atlas votes about an organ where the organ was contoured in it and the voxel lies in its field of view; elsewhere it
    abstains. A voxel is the organ's where **more than half** of those who vote say so (a tie is background). Where two organs
    have a majority, each of its own voters, the larger share wins, then the lower label.
    """
    out = np.zeros(warped[0].labels.shape, np.uint8)
    best = np.zeros(out.shape, np.float32)
    for value in values:
        votes, voters = np.zeros(out.shape, np.uint8), np.zeros(out.shape, np.uint8)
        for atlas in warped:
            if value in atlas.contoured:
                votes += atlas.labels == value
                voters += atlas.labels != OUTSIDE
        share = votes / np.maximum(voters, 1).astype(np.float32)
        wins = (share > 0.5) & (share > best)
        out[wins] = value
        best[wins] = share[wins]
    return out


def shuffled(patients: Sequence[str], count: int, seed: int) -> list[str]:
    """Return all patients in random order; the first ``count`` are the atlases, chosen at random as in the paper (section 4.4).

    Raises DatasetError if there are fewer than ``count``.
    """
    if count < 1 or count > len(patients):
        raise DatasetError(
            f"{count} atlases were asked for; the split train has {len(patients)} cases. Choose 1 to {len(patients)}."
        )
    return [patients[i] for i in np.random.default_rng(seed).permutation(len(patients))]


def register(ants: Any, case: Case, fixed: Any, upright: Geometry, registration: str) -> np.ndarray:
    """Return an atlas's labels on ``upright``, the scan's own grid: uint8 (z, y, x), OUTSIDE where the atlas does not reach.

    ``fixed``: the scan as an ANTsImage.
    """
    moving = to_ants(ants, *registration_grid(case.hu.astype(np.float32), case.geometry))
    with tempfile.TemporaryDirectory(prefix="focusnet-atlas-") as folder:
        found = ants.registration(
            fixed, moving, type_of_transform=REGISTRATIONS[registration], outprefix=str(Path(folder) / "to-scan-")
        )
        target = to_ants(ants, np.zeros(upright.shape_zyx, np.float32), upright)
        atlas = case.labels.astype(np.float32) + 1  # 1 is the atlas's background, 0 beyond it
        warped = ants.apply_transforms(
            target,
            to_ants(ants, atlas, case.geometry),
            found["fwdtransforms"],
            interpolator="genericLabel",
            defaultvalue=0,
        )
    values = np.rint(warped.numpy().transpose(2, 1, 0)).astype(np.int16)
    return np.where(values == 0, OUTSIDE, values - 1).astype(np.uint8)


def registration_grid(hu: np.ndarray, geometry: Geometry) -> tuple[np.ndarray, Geometry]:
    """Return a CT clipped to HU_WINDOW and no finer than REGISTRATION_MM: float32 (z, y, x) and its grid."""
    shape, spacing = list(geometry.shape_zyx), list(geometry.spacing_mm_zyx)
    for axis in range(3):
        if spacing[axis] < REGISTRATION_MM:
            extent = shape[axis] * spacing[axis]
            shape[axis], spacing[axis] = max(1, round(extent / REGISTRATION_MM)), REGISTRATION_MM
    coarse = Geometry(
        (shape[0], shape[1], shape[2]),
        (spacing[2], spacing[1], spacing[0]),
        geometry.origin_mm_xyz,
        geometry.direction_xyz,
    )
    if coarse.shape_zyx != geometry.shape_zyx:
        hu = resample_ct(hu, geometry, coarse)
    return np.clip(hu, *HU_WINDOW).astype(np.float32), coarse


def to_ants(ants: Any, array: np.ndarray, geometry: Geometry) -> Any:
    """Return an ANTsImage of (z, y, x) voxels; ANTs' axes run x, y, z, in LPS mm as here."""
    return ants.from_numpy(
        np.ascontiguousarray(array.transpose(2, 1, 0), dtype=np.float32),
        origin=[float(v) for v in geometry.origin_mm_xyz],
        spacing=[float(v) for v in geometry.spacing_mm_xyz],
        direction=np.asarray(geometry.direction_xyz, float),
    )


def import_ants() -> Any:
    """Return antspyx with a fixed seed. Raises InputError with the command that installs it."""
    # ANTs fixes its random numbers only on one thread; a user's own setting for more speed stands
    os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")
    try:
        import ants
    except ImportError as problem:
        raise InputError(
            f'The multi-atlas baseline needs antspyx, which is not installed ({problem}): pip install "focusnet[atlas]".'
        ) from problem
    threads = os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"]
    ants.config.set_ants_deterministic(on=True, seed_value=1)
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = threads
    return ants


def wanted_labels(known: Sequence[str], organs: Sequence[str] | None) -> dict[int, Organ]:
    """Return label value -> organ. Raises InputError for a name that the data set or the organ table does not have."""
    found: dict[int, Organ] = {}
    for name in known if organs is None else organs:
        organ = find_organ(name)
        if organ is None or organ.name not in known:
            raise InputError(f"The data set has no organ {name!r}; it knows {', '.join(known)}.")
        found[list(known).index(organ.name) + 1] = organ
    if not found:
        raise InputError(f"No organ was asked for; the data set knows {', '.join(known)}.")
    return found


def describe(
    labels: np.ndarray, geometry: Geometry, wanted: dict[int, Organ], warped: Sequence[Warped]
) -> list[OrganResult]:
    """Return each organ's volume (ml) in ``labels`` (z, y, x), and warnings about how many atlases could vote for it."""
    counts = np.bincount(labels.ravel(), minlength=256)
    results = []
    for value, organ in sorted(wanted.items()):
        voters = sum(value in atlas.contoured for atlas in warped)
        warnings = []
        if voters == 0:
            warnings.append(f"None of the {len(warped)} atlases has a contour of it.")
        elif voters < min(FEW, len(warped)):
            warnings.append(f"Only {voters} of {len(warped)} atlases have a contour of it.")
        if voters and not counts[value]:
            warnings.append("Not found in this scan.")
        volume = float(counts[value]) * geometry.voxel_ml
        results.append(
            OrganResult(organ=organ, label=value, found=bool(counts[value]), volume_ml=volume, warnings=tuple(warnings))
        )
    return results


def provenance(volume: Volume, log: AtlasLog, registration: str, version: str, seconds: float) -> dict[str, Any]:
    """Return how the segmentation was made, as plain values for files."""
    return {
        "model": "multi-atlas",
        "model_version": f"{REGISTRATIONS[registration]}, majority of {len(log.used)} atlases",
        "atlases": log.used,
        "focusnet_version": __version__,
        "antspyx_version": version,
        "device": "cpu",
        "seconds": round(seconds, 2),
        "source": volume.source,
        "notes": [*volume.notes, *log.notes],
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "disclaimer": DISCLAIMER,
    }
