"""A .seg.nrrd comes back as it was, other programs' files are understood, and what cannot be read is refused in one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicerio

from focusnet.errors import InputError
from focusnet.image.segmentation import OrganResult, Segmentation
from focusnet.image.volume import Geometry
from focusnet.io.seg_nrrd import read_seg_nrrd, write_seg_nrrd

from ..helpers_outputs import GRIDS, PROVENANCE, UPRIGHT, organ, scan_and_organs


def written(folder: Path, result: Segmentation | None = None) -> Path:
    path = folder / "organs.seg.nrrd"
    write_seg_nrrd(result or scan_and_organs()[1], path, overwrite=True)
    return path


def refused(path: Path, words: str, **options: Any) -> None:
    with pytest.raises(InputError, match=words) as error:
        read_seg_nrrd(path, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("grid", GRIDS)
def test_what_was_written_comes_back_complete(grid: str, tmp_path: Path) -> None:
    _, result = scan_and_organs(grid)
    back = read_seg_nrrd(written(tmp_path, result))
    np.testing.assert_array_equal(back.labels, result.labels)
    np.testing.assert_allclose(back.geometry.affine_xyz, result.geometry.affine_xyz, atol=1e-9)
    assert [replace(r, volume_ml=0) for r in back.results] == [replace(r, volume_ml=0) for r in result.results]
    assert [r.volume_ml for r in back.results] == pytest.approx([r.volume_ml for r in result.results])
    assert back.provenance == PROVENANCE, "backslashes, bars and accents included"


def test_label_values_stay_as_they_are_when_only_some_organs_were_asked_for(tmp_path: Path) -> None:
    _, result = scan_and_organs()
    some = np.where(result.labels >= 3, result.labels, 0).astype(np.uint8)
    back = read_seg_nrrd(written(tmp_path, replace(result, labels=some, results=result.results[2:4])))
    assert [(r.organ.name, r.label) for r in back.results] == [("Parotid_R", 3), ("Parotid_L", 4)]
    np.testing.assert_array_equal(back.labels, some)


def test_any_nrrd_reader_gets_the_provenance_as_json(tmp_path: Path) -> None:
    header = sitk.ReadImage(str(written(tmp_path)))
    assert json.loads(header.GetMetaData("FocusNet provenance")) == PROVENANCE


def test_only_the_organs_asked_for_are_read_by_any_of_their_names(tmp_path: Path) -> None:
    path = written(tmp_path)
    back = read_seg_nrrd(path, organs=["Parotid-Lt", "Esophagus"])
    assert [r.organ.name for r in back.results] == ["Parotid_L"], "an organ that the file lacks is no reason to fail"
    refused(path, r"0 of the wanted segments.*It has Brainstem", organs=["Esophagus"])


def slicerio_file(path: Path, segments: list[dict[str, Any]], voxels: np.ndarray, **extra: Any) -> Path:
    """What another program may write. ``voxels``: (x, y, z) or (layer, x, y, z)."""
    affine = extra.pop("affine", np.diag([2.0, 2.5, 4.0, 1.0]))
    content = {"voxels": voxels, "ijkToLPS": affine, "encoding": "gzip", "segments": segments, **extra}
    slicerio.write_segmentation(str(path), content)
    return path


def boxes() -> np.ndarray:
    voxels = np.zeros((10, 8, 6), np.int16)
    voxels[1:4, 2:5, 1:3] = 301
    voxels[6:9, 2:5, 1:3] = 7
    return voxels


def test_another_programs_names_label_values_and_unknown_organs_are_understood(tmp_path: Path) -> None:
    segments: list[dict[str, Any]] = [
        {"id": "2.25.1", "name": "Parotid-Lt", "labelValue": 301, "color": [0.1, 0.2, 0.3]},
        {"id": "2.25.2", "name": "PTV 70 Gy", "labelValue": 7, "color": [1.0, 0.0, 0.5]},
    ]
    back = read_seg_nrrd(slicerio_file(tmp_path / "other.seg.nrrd", segments, boxes()))
    known, unknown = back.results
    assert known.organ == organ("Parotid_L"), "colour and code are the organ table's, whatever the file says"
    assert (unknown.organ.name, unknown.organ.color_rgb, unknown.organ.snomed_code) == ("PTV 70 Gy", (255, 0, 128), "")
    np.testing.assert_array_equal(back.mask("Parotid_L"), np.transpose(boxes() == 301))
    assert known.volume_ml == pytest.approx(18 * 0.02)
    again = read_seg_nrrd(written(tmp_path, back))
    np.testing.assert_array_equal(again.mask("PTV 70 Gy"), back.mask("PTV 70 Gy"))


def test_a_segment_without_a_name_is_told_by_its_id(tmp_path: Path) -> None:
    path = slicerio_file(tmp_path / "a.seg.nrrd", [{"id": "Parotid_R", "name": "", "labelValue": 7}], boxes())
    assert read_seg_nrrd(path).results[0].organ.name == "Parotid_R"


def test_two_segments_of_one_organ_are_refused(tmp_path: Path) -> None:
    segments = [{"id": "a", "name": "Parotid_L", "labelValue": 7}, {"id": "b", "name": "Parotid-Lt", "labelValue": 301}]
    refused(
        slicerio_file(tmp_path / "a.seg.nrrd", segments, boxes()), "'Parotid_L' and 'Parotid-Lt' are both Parotid_L"
    )


def test_overlapping_layers_are_refused_and_can_be_read_one_by_one(tmp_path: Path) -> None:
    first = (boxes() == 7).astype(np.uint8)
    second = np.roll(first, 1, axis=0)
    segments = [
        {"id": "a", "name": "SpinalCanal", "labelValue": 1, "layer": 0},
        {"id": "b", "name": "SpinalCord", "labelValue": 1, "layer": 1},
    ]
    path = slicerio_file(tmp_path / "a.seg.nrrd", segments, np.stack([first, second]))
    refused(path, "SpinalCanal and SpinalCord overlap in 12 voxels")
    np.testing.assert_array_equal(read_seg_nrrd(path, ["SpinalCord"]).mask("SpinalCord"), second.T == 1)
    apart = slicerio_file(tmp_path / "b.seg.nrrd", segments, np.stack([first, np.roll(first, 4, axis=0)]))
    back = read_seg_nrrd(apart)
    np.testing.assert_array_equal(back.mask("SpinalCanal"), first.T == 1)
    np.testing.assert_array_equal(back.mask("SpinalCord"), np.roll(first, 4, axis=0).T == 1)


def test_a_file_cropped_to_its_segments_is_put_back_on_its_reference_grid(tmp_path: Path) -> None:
    """As Slicer writes it with 'crop to minimum extent'; Testing/Slicer has the same with Slicer itself."""
    _, result = scan_and_organs("oblique and flipped")
    content = slicerio.read_segmentation(str(written(tmp_path, result)))
    used = np.argwhere(content["voxels"])
    low, high = used.min(axis=0), used.max(axis=0) + 1
    content["ijkToLPS"][:3, 3] += content["ijkToLPS"][:3, :3] @ low
    content["voxels"] = content["voxels"][tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    slicerio.write_segmentation(str(tmp_path / "cropped.seg.nrrd"), content)
    back = read_seg_nrrd(tmp_path / "cropped.seg.nrrd")
    assert back.geometry.same_grid_as(result.geometry)
    np.testing.assert_array_equal(back.labels, result.labels)


def test_a_file_whose_reference_grid_is_another_one_stays_on_its_own(tmp_path: Path) -> None:
    _, result = scan_and_organs()
    content = slicerio.read_segmentation(str(written(tmp_path, result)))
    content["ijkToLPS"][:3, 3] += 0.7  # voxel centres that are not the reference grid's
    slicerio.write_segmentation(str(tmp_path / "moved.seg.nrrd"), content)
    back = read_seg_nrrd(tmp_path / "moved.seg.nrrd")
    np.testing.assert_allclose(back.geometry.origin_mm_xyz, np.array(result.geometry.origin_mm_xyz) + 0.7)
    np.testing.assert_array_equal(back.labels, result.labels)


def test_ras_files_are_read_into_lps(tmp_path: Path) -> None:
    path = written(tmp_path)
    raw = path.read_bytes().replace(b"left-posterior-superior", b"right-anterior-superior")
    path.write_bytes(raw)
    back = read_seg_nrrd(path).geometry
    np.testing.assert_allclose(back.affine_xyz, np.diag([-1, -1, 1, 1]) @ UPRIGHT.affine_xyz)


def test_a_damaged_or_foreign_file_is_refused_in_one_line(tmp_path: Path) -> None:
    whole = written(tmp_path).read_bytes()
    refused(tmp_path / "none.seg.nrrd", "does not exist")
    path = tmp_path / "bad.seg.nrrd"
    for content in (b"", b"hello\n", whole[:200], whole[: len(whole) - 30], whole[:-200] + bytes(200)):
        path.write_bytes(content)
        refused(path, "cannot be read as a segmentation")
    image = sitk.GetImageFromArray(np.zeros((3, 4, 5), np.int16))
    sitk.WriteImage(image, str(tmp_path / "ct.nrrd"))
    refused(tmp_path / "ct.nrrd", "holds no segments")
    slicerio_file(path, [{"id": "a", "name": "Larynx", "labelValue": 1}], np.full((3, 4, 5), 0.5))
    refused(path, "not a label map")
    slicerio_file(path, [{"id": "a", "name": "Larynx", "labelValue": 1, "layer": 3}], boxes())
    refused(path, "Larynx lies in layer 3 of 1")


def test_a_name_that_no_header_can_hold_is_written_as_near_as_it_can_be(tmp_path: Path) -> None:
    odd = replace(organ("Larynx"), name="Glándula|sub~lingual\nizq.", snomed_code="")
    labels = np.ones((2, 3, 4), np.uint8)
    result = Segmentation(
        labels, Geometry(labels.shape, (1.0, 1.0, 1.0)), (OrganResult(organ=odd, label=1, found=True, volume_ml=0.024),)
    )
    back = read_seg_nrrd(written(tmp_path, result))
    assert back.results[0].organ.name == "Glandula/sub-lingual izq."
    assert back.results[0].found
