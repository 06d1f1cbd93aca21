"""What 3D Slicer's own storage node makes of our .seg.nrrd files, and what we make of Slicer's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from focusnet.errors import InputError
from focusnet.image.organs import ORGANS
from focusnet.image.segmentation import Segmentation
from focusnet.io.seg_nrrd import read_seg_nrrd, write_seg_nrrd

from ...Core.helpers_outputs import GRIDS, MISSING, NAMES, UPRIGHT, openkbp_case, scan_and_organs, segmentation
from ..helpers_slicer import CLOSED_SURFACE, Scene, open_segmentation


def written(result: Segmentation, folder: Path) -> Path:
    path = folder / "organs.seg.nrrd"
    write_seg_nrrd(result, path)
    return path


def opened(result: Segmentation, folder: Path) -> Scene:
    return open_segmentation(written(result, folder))


def test_slicer_shows_every_organ_of_the_table_with_its_name_code_side_and_colour(tmp_path: Path) -> None:
    labels = np.zeros((3, 4, len(ORGANS)), np.uint8)
    labels[:] = np.arange(1, len(ORGANS) + 1)
    geometry = replace(UPRIGHT, shape_zyx=labels.shape)
    scene = opened(segmentation(labels, geometry, tuple(o.name for o in ORGANS)), tmp_path)
    sides = {"left": ("SCT", "7771000", "Left"), "right": ("SCT", "24028007", "Right")}
    assert scene.layers() == 1, "one shared layer: 22 layers would cost a gigabyte"
    for organ, segment in zip(ORGANS, scene.segments(), strict=True):
        assert segment.name == organ.name
        assert segment.color_rgb == organ.color_rgb
        assert segment.terminology["category"] == ("SCT", "123037004", "Anatomical Structure")
        assert segment.terminology["type"] == ("SCT", organ.snomed_code, organ.snomed_meaning)
        assert segment.terminology.get("modifier") == sides.get(organ.side)


@pytest.mark.parametrize("grid", GRIDS)
def test_every_voxel_of_every_organ_lies_where_it_was_in_the_patient(grid: str, tmp_path: Path) -> None:
    _, result = scan_and_organs(grid)
    scene = opened(result, tmp_path)
    for segment in scene.segments():
        np.testing.assert_allclose(segment.affine_lps, result.geometry.affine_xyz, atol=1e-6)
        np.testing.assert_array_equal(segment.mask, result.mask(segment.name))
    np.testing.assert_allclose(scene.reference_affine_lps(), result.geometry.affine_xyz, atol=1e-6)


def test_a_surface_made_by_slicer_lies_around_the_organ(tmp_path: Path) -> None:
    _, result = scan_and_organs("oblique and flipped")
    scene = opened(result, tmp_path)
    assert scene.segmentation.CreateRepresentation(CLOSED_SURFACE)
    for segment in scene.segments():
        surface = scene.segment(segment.id).GetRepresentation(CLOSED_SURFACE)
        if segment.name == MISSING:
            assert surface is None or surface.GetNumberOfPoints() == 0
            continue
        center_lps = np.array(surface.GetCenter()) * (-1, -1, 1)
        voxels_mm = result.geometry.index_to_mm(np.argwhere(result.mask(segment.name)))
        middle = (voxels_mm.min(axis=0) + voxels_mm.max(axis=0)) / 2
        assert np.abs(center_lps - middle).max() < 2.0, segment.name


def test_an_organ_that_was_not_found_can_be_drawn_in_slicer_and_is_read_back_as_found(tmp_path: Path) -> None:
    _, result = scan_and_organs("head first")
    scene = opened(result, tmp_path)
    empty = next(s for s in scene.segments() if s.name == MISSING)
    assert not empty.mask.any()
    assert empty.tags["Segmentation.Status"] == "flagged"
    drawn = np.zeros(result.labels.shape, bool)
    drawn[20:22, 4:9, 6:10] = True
    scene.paint(empty.id, drawn, like=scene.segments()[0].id)
    back = read_seg_nrrd(scene.save(tmp_path / "edited.seg.nrrd"))
    edited = {r.organ.name: r for r in back.results}
    np.testing.assert_array_equal(back.mask(MISSING), drawn)
    assert edited[MISSING].found
    assert edited[MISSING].warnings == (), "what the engine said of the empty organ no longer holds"
    assert edited[MISSING].volume_ml == pytest.approx(drawn.sum() * 0.02)
    assert edited["Brainstem"].peak == 0.875, "what it said of the others survives Slicer"
    assert edited["Brainstem"].peak_mm_xyz == (1.5, -2.25, 3.0)


def test_warnings_with_bars_quotes_and_accents_pass_through_slicer(tmp_path: Path) -> None:
    _, result = scan_and_organs()
    scene = opened(result, tmp_path)
    assert [s.name for s in scene.segments()] == list(NAMES)
    missing = next(s for s in scene.segments() if s.name == MISSING)
    warnings = next(r.warnings for r in result.results if r.organ.name == MISSING)
    assert tuple(json.loads(missing.tags["FocusNet.Result"])["warnings"]) == warnings
    back = read_seg_nrrd(scene.save(tmp_path / "again.seg.nrrd"))
    assert next(r.warnings for r in back.results if r.organ.name == MISSING) == warnings


def test_only_a_models_contours_are_marked_as_automatic(tmp_path: Path) -> None:
    _, result = scan_and_organs()
    tags = opened(result, tmp_path).segments()[0].tags
    assert tags["DICOM.SegmentAlgorithmType"] == "AUTOMATIC"
    assert tags["DICOM.SegmentAlgorithmName"] == "FocusNetv2 han7-test"
    by_hand = replace(result, provenance={})
    (tmp_path / "hand").mkdir()
    assert "DICOM.SegmentAlgorithmType" not in opened(by_hand, tmp_path / "hand").segments()[0].tags


@pytest.mark.parametrize("grid", GRIDS)
def test_a_file_that_slicer_cropped_to_its_segments_comes_back_on_the_scans_grid(grid: str, tmp_path: Path) -> None:
    _, result = scan_and_organs(grid)
    cropped = opened(result, tmp_path).save(tmp_path / "cropped.seg.nrrd", crop=True)
    assert open_segmentation(cropped).segments()[0].mask.size < result.labels.size, "Slicer did crop"
    back = read_seg_nrrd(cropped)
    assert back.geometry.same_grid_as(result.geometry)
    for name in NAMES:
        np.testing.assert_array_equal(back.mask(name), result.mask(name))


def test_segments_in_several_layers_are_read_and_overlaps_refused_by_name(tmp_path: Path) -> None:
    _, result = scan_and_organs()
    scene = opened(result, tmp_path)
    ids = {s.name: s.id for s in scene.segments()}
    scene.paint(ids["Parotid_L"], result.mask("Parotid_R"), like=ids["Brainstem"])
    layered = scene.save(tmp_path / "layers.seg.nrrd")
    assert open_segmentation(layered).layers() == 2
    with pytest.raises(InputError, match=r"Parotid_R and Parotid_L overlap in 256 voxels.*Name the organs"):
        read_seg_nrrd(layered)
    some = read_seg_nrrd(layered, organs=["Parotid-Lt", "Brainstem"])  # these two lie in different layers
    np.testing.assert_array_equal(some.mask("Parotid_L"), result.mask("Parotid_R"))
    np.testing.assert_array_equal(some.mask("Brainstem"), result.mask("Brainstem"))


def test_a_segment_is_told_by_the_name_that_the_user_gave_it(tmp_path: Path) -> None:
    _, result = scan_and_organs()
    scene = opened(result, tmp_path)
    ids = {s.name: s.id for s in scene.segments()}
    scene.segment(ids["Brainstem"]).SetName("brain stem")
    scene.segment(ids["SpinalCord"]).SetName("GTV node")
    back = read_seg_nrrd(scene.save(tmp_path / "renamed.seg.nrrd"))
    np.testing.assert_array_equal(back.mask("Brainstem"), result.mask("Brainstem"))
    np.testing.assert_array_equal(back.mask("GTV node"), result.mask("SpinalCord"))
    assert "SpinalCord" not in {r.organ.name for r in back.results}


def test_a_real_scans_contours_open_voxel_for_voxel(real_data: Path, tmp_path: Path) -> None:
    _, result = openkbp_case(real_data, "val/pt_201")
    for segment in opened(result, tmp_path).segments():
        np.testing.assert_array_equal(segment.mask, result.mask(segment.name))
        np.testing.assert_allclose(segment.affine_lps, result.geometry.affine_xyz, atol=1e-6)
