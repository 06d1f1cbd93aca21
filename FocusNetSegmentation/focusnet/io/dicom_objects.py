"""Parts that every DICOM export has in common: it points at the right slices or is refused, and is read back before it gets its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError, OutputError
from ..files.atomic_write import atomic_path, check_output
from ..image.segmentation import OrganResult, Segmentation
from ..image.volume import Volume


def check_export(
    segmentation: Segmentation, volume: Volume, path: Path, overwrite: bool, kind: str
) -> list[OrganResult]:
    """Refuse what cannot be exported as ``kind``; return the organs that have voxels. Raises InputError, OutputError."""
    check_output(path, overwrite, (".dcm",))
    check_source(segmentation, volume, kind)
    drawn = [r for r in segmentation.results if bool((segmentation.labels == r.label).any())]
    if not drawn:
        raise InputError(f"No organ has a voxel; there is nothing to write as {kind}.")
    return drawn


def save_checked(path: Path, save: Callable[[Path], object], difference: Callable[[Path], str]) -> None:
    """Save under a temporary name and rename only if ``difference`` finds nothing; else keep it as NAME.failed and raise."""
    with atomic_path(path) as partial:
        save(partial)
        problem = difference(partial)
        if problem:
            kept = path.with_name(path.name + ".failed")
            partial.rename(kept)
            raise OutputError(f"{path}: the file read back differs ({problem}); it was not exported, see {kept}.")


def check_source(segmentation: Segmentation, volume: Volume, kind: str) -> None:
    """Refuse what would point a planning system at the wrong slices."""
    uids: dict[str, Any] = dict(volume.dicom_uids)
    if not uids:
        raise InputError(
            f"{volume.source or 'The CT'} did not come from DICOM, so {kind} has no slices to point at; read the DICOM series, "
            "or write .seg.nrrd instead."
        )
    missing = [key for key in ("study", "series", "frame_of_reference", "sop_class") if not uids.get(key)]
    if missing:
        raise InputError(
            f"{volume.source}: the series lacks {', '.join(missing)} UIDs, which {kind} needs; export the series again."
        )
    instances = list(uids["instances"])
    if len(instances) != volume.geometry.shape_zyx[0] or not all(instances):
        raise InputError(
            f"{volume.source}: {sum(map(bool, instances))} of {volume.geometry.shape_zyx[0]} slices have an instance UID."
        )
    if len(set(instances)) != len(instances):
        raise InputError(
            f"{volume.source}: instance UIDs occur twice, so {kind} cannot tell the slices apart; export the series again."
        )
    if not segmentation.geometry.same_grid_as(volume.geometry):
        raise InputError(f"The segmentation lies on another grid than {volume.source}; resample it to the CT first.")
    for result in segmentation.results:
        name = result.organ.name
        if len(name) > 64 or not name.isascii() or "\\" in name:
            raise InputError(
                f"Organ name {name!r} does not fit DICOM (64 plain characters without a backslash); rename it."
            )
