"""Corrected and approved cases as a doctor leaves them, and DICOM series that name their patient everywhere."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk

from focusnet.cli.main import main
from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Volume
from focusnet.io.review_tags import fingerprint
from focusnet.io.seg_nrrd import write_seg_nrrd
from focusnet.phantom.dicom import write_dicom_series
from focusnet.phantom.write import phantom

from .cli.test_export_command import reviewed
from .helpers_images import write_image
from .helpers_outputs import PROVENANCE

SECRETS = (
    "Mustermann", "Erika", "MRN-4711-0815", "19631224", "20240229", "20240301", "131415", "Aufnahme", "ACC998877", "Ostklinik",
    "1.2.826.0.1.3680043.8.498.4711",
)  # fmt: skip
ORGANS = ("Brainstem", "SpinalCord", "Parotid_L", "Parotid_R", "Bone_Mandible_L")
AIR_VOXELS = 15  # around the phantom, which fills its field
APPROVED = ("Brainstem", "Parotid_L", "Parotid_R")


@dataclass(frozen=True)
class Reviewed:
    """Files of one case: the CT (a file or a DICOM folder), the reviewed segmentation, the model's own copy."""

    ct: Path
    seg: Path
    model: Path


@lru_cache(maxsize=1)
def _scan() -> tuple[Volume, Segmentation]:
    volume, reference = phantom(0, (5.0, 5.0, 6.0))
    results = tuple(r for r in reference.results if r.organ.name in ORGANS)
    kept = np.isin(reference.labels, [r.label for r in results])
    labels = np.where(kept, reference.labels, 0).astype(np.uint8)
    air = ((0, 0), (AIR_VOXELS, AIR_VOXELS), (AIR_VOXELS, AIR_VOXELS))
    hu, labels = np.pad(volume.array, air, constant_values=-1000), np.pad(labels, air)
    corner = volume.geometry.index_to_mm(np.array([0, -AIR_VOXELS, -AIR_VOXELS]))
    geometry = replace(volume.geometry, shape_zyx=hu.shape, origin_mm_xyz=tuple(corner))
    drawn = Segmentation(labels, geometry, results, dict(PROVENANCE))
    return Volume(hu, geometry), drawn


def scan_and_result(patient: int = 0) -> tuple[Volume, Segmentation]:
    """The phantom on a coarse grid and what a model drew on it; each ``patient`` has other noise."""
    volume, drawn = _scan()
    hu = volume.array.copy()
    hu[hu > 0] += np.random.default_rng(patient).integers(0, 5, int((hu > 0).sum()), dtype=np.int16)
    return replace(volume, array=hu), drawn


def corrected(drawn: Segmentation, organs: Sequence[str] = ("Parotid_L",)) -> Segmentation:
    """The result with these organs grown by a voxel, as a doctor might."""
    labels = drawn.labels.copy()
    for result in drawn.results:
        if result.organ.name in organs:
            grown = sitk.GetArrayFromImage(
                sitk.BinaryDilate(sitk.GetImageFromArray((labels == result.label) * 1), (1, 1, 0))
            )
            labels[(grown > 0) & (labels == 0)] = result.label
    return replace(drawn, labels=labels)


def review_tags(
    drawn: Segmentation, now: Segmentation, approve: Sequence[str], by: str = "Dr. Aufnahme"
) -> dict[str, dict[str, str]]:
    """The tags that the panel's review leaves: what was drawn, what was approved, the time that it took."""
    tags = {}
    for result in now.results:
        name = result.organ.name
        record: dict[str, object] = {"state": "draft", "drawn": fingerprint(drawn.mask(name), drawn)}
        if name in approve:
            record |= {"state": "approved", "approved": fingerprint(now.mask(name), now), "by": by, "when": "20240301"}
        tags[name] = {"FocusNet.Review": json.dumps(record), "FocusNet.ActiveSeconds": "61.5"}
    return tags


def reviewed_case(
    folder: Path,
    patient: int = 0,
    approve: Sequence[str] = APPROVED,
    change: Sequence[str] = ("Parotid_L",),
    remove: Sequence[str] = (),
    dicom: bool = False,
    more_tags: Mapping[str, Mapping[str, str]] | None = None,
) -> Reviewed:
    """Write a case: segmented by a model, ``change`` corrected, ``remove`` erased, ``approve`` approved. ``dicom``: the CT as files that name the patient."""
    folder.mkdir(parents=True, exist_ok=True)
    volume, drawn = scan_and_result(patient)
    ct = named_series(volume, folder / "ct", patient) if dicom else write_image(volume, folder / "ct.nrrd")
    now = corrected(drawn, change)
    gone = [r.label for r in drawn.results if r.organ.name in remove]
    now = replace(now, labels=np.where(np.isin(now.labels, gone), 0, now.labels).astype(np.uint8))
    write_seg_nrrd(drawn, folder / "model.seg.nrrd")
    tags = review_tags(drawn, now, approve)
    for name, more in (more_tags or {}).items():
        tags[name] = {**tags.get(name, {}), **more}
    return Reviewed(ct, reviewed(now, folder / "reviewed.seg.nrrd", tags), folder / "model.seg.nrrd")


def named_series(volume: Volume, folder: Path, patient: int = 0) -> Path:
    """The CT as DICOM whose headers hold every one of SECRETS."""
    write_dicom_series(volume, folder, patient)
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        data.PatientName, data.PatientID = "Mustermann^Erika", f"MRN-4711-0815{patient or ''}"
        data.PatientBirthDate, data.StudyDate, data.StudyTime = "19631224", "20240229", "131415"
        data.SeriesDate = data.AcquisitionDate = data.ContentDate = "20240301"
        data.ReferringPhysicianName, data.AccessionNumber = "Dr. Aufnahme", "ACC998877"
        data.InstitutionName, data.StudyDescription = "Ostklinik", "Mustermann Erika Hals"
        data.SeriesDescription = "Hals Mustermann"
        for tag in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
            setattr(data, tag, f"1.2.826.0.1.3680043.8.498.4711.{patient}.{len(tag)}")
        data.save_as(path)
    return folder


def collect(case: Reviewed, into: Path, *more: object) -> int:
    """Run ``focusnet collect`` on a case, with the model's copy and consent."""
    return main(
        [
            str(a)
            for a in (
                "collect",
                case.seg,
                "--ct",
                case.ct,
                "--into",
                into,
                "--model-copy",
                case.model,
                "--consent",
                *more,
            )
        ]
    )


def everything_in(folder: Path) -> bytes:
    """All names and bytes below a folder, of packed files also what is inside."""
    found = []
    for path in sorted(folder.rglob("*")):
        found.append(path.relative_to(folder).as_posix().encode())
        if path.is_file():
            data = path.read_bytes()
            found.append(data)
            start = data.find(b"\x1f\x8b\x08")
            if path.suffix == ".nrrd":
                assert start >= 0, f"{path} is not packed: look inside it in another way"
                found.append(gzip.decompress(data[start:]))
    return b"\n".join(found)


def write_case(folder: Path, number: int, **more: object) -> None:
    """A case of a training set without its images: what a report reads. ``more``: further or other keys of case.json."""
    name = f"{number:012x}-1"
    (folder / name).mkdir(parents=True)
    content = {
        "format": 1, "case": name, "patient": name[:12], "scan": name, "split": ("train", "train", "train", "val", "test")[number % 5],
        "replaces": [], "order": number, "collected": f"2026-{1 + number // 28:02d}-{1 + number % 28:02d}", "focusnet": "0",
        "model": {"name": "m", "version": "1", "bundle_sha256": "ab" * 32}, "contoured": [], "absent": [], "organs": {}, "audit": None,
    }  # fmt: skip
    (folder / name / "case.json").write_text(json.dumps({**content, **more}), encoding="utf-8")


def edit(organ: str, added_mm: float, path_mm: float = 1000.0, active_s: float | None = None) -> dict[str, object]:
    """An entry of an audit."""
    return {
        "organ": organ, "changed": added_mm > 0, "added_path_mm": added_mm, "path_mm": path_mm, "active_s": active_s,
        "surface_dsc": 1 - added_mm / path_mm, "dsc": 1.0, "hd95_mm": None,
    }  # fmt: skip


def corrected_set(folder: Path, cases: Sequence[tuple[str, Mapping[str, float]]]) -> Path:
    """A training set of which only the reports can be read. ``cases``: version of the model, and added path (mm) by organ."""
    folder.mkdir()
    head = {
        "kind": "focusnet training set",
        "format": 1,
        "created": "2026-01-01",
        "consent": {"date": "2026-01-01", "asked": "terminal"},
    }
    (folder / "collection.json").write_text(json.dumps(head), encoding="utf-8")
    for number, (version, added) in enumerate(cases):
        write_case(
            folder,
            number,
            model={"name": "m", "version": version, "bundle_sha256": None},
            contoured=list(added),
            organs={name: {"as_drawn": not mm, "by_hand": False, "active_s": 60.0} for name, mm in added.items()},
            audit={"format": 1, "organs": [edit(name, mm, active_s=60.0) for name, mm in added.items()]},
        )
    return folder


def two_versions(folder: Path, cases: int = 12) -> Path:
    """Under version 2 the left parotid is corrected less than under version 1, the brainstem as much."""
    old = [("1", {"Parotid_L": 300.0 + n, "Brainstem": 100.0 + (n * 7) % 12}) for n in range(cases)]
    new = [("2", {"Parotid_L": 100.0 + n, "Brainstem": 100.0 + (n * 5) % 12}) for n in range(cases)]
    return corrected_set(folder, [*old, *new])
