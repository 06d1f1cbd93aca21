"""Results as nodes on Slicer's own core: names, codes, colours, geometry, edits, the frozen copy, scenes saved and loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")


import vtk  # noqa: E402

from focusnet.errors import InputError, OutputError  # noqa: E402
from focusnet.io import read_volume, seg_nrrd  # noqa: E402
from focusnet.io.seg_nrrd import read_seg_nrrd, write_seg_nrrd  # noqa: E402
from focusnet.organs import ORGANS  # noqa: E402
from focusnet.phantom import phantom  # noqa: E402
from focusnet.segmentation import Segmentation  # noqa: E402
from focusnet.volume import Geometry, Volume  # noqa: E402
from FocusNetSegmentationLib import nodes  # noqa: E402
from FocusNetSegmentationLib.labelmaps import get_tag, voxels  # noqa: E402
from FocusNetSegmentationLib.nodes import (  # noqa: E402
    edited_segments,
    frozen_copy,
    import_result,
    make_closed_surfaces,
    mark_edited,
    organ_segments,
    provenance_of,
    remove_orphans,
    replace_organs,
)
from FocusNetSegmentationLib.volumes import (  # noqa: E402
    LPS_RAS,
    hardened_copy,
    has_non_linear_transform,
    to_vtk,
    volume_summary,
    voxels_of,
    world_geometry,
    write_ct_for_worker,
)

from ..Core.helpers_outputs import (  # noqa: E402
    GRIDS,
    MISSING,
    NAMES,
    PROVENANCE,
    UPRIGHT,
    scan_and_organs,
    segmentation,
)
from .helpers_nodes import TURNED, World, erase_a_bit, load_mrb, mask, paint, points_lps, segment  # noqa: E402
from .helpers_slicer import BINARY_LABELMAP, CLOSED_SURFACE, open_segmentation  # noqa: E402


def expected_points(result: Segmentation, name: str) -> np.ndarray:
    points = result.geometry.index_to_mm(np.argwhere(result.mask(name)))
    return points[np.lexsort(np.round(points, 3).T)]


def layers(node: Any) -> int:
    return int(node.GetSegmentation().GetNumberOfLayers(BINARY_LABELMAP))


# --- what a clinician finds


def test_every_organ_of_the_table_has_its_name_colour_and_code_in_one_shared_layer(world: World) -> None:
    labels = np.zeros((6, 30, 60), np.uint8)
    labels[2, 3, : len(ORGANS)] = np.arange(1, len(ORGANS) + 1)
    geometry = replace(UPRIGHT, shape_zyx=labels.shape)
    result = segmentation(labels, geometry, tuple(o.name for o in ORGANS))
    ct = world.volume(Volume(np.zeros(labels.shape, np.int16), geometry))
    node = import_result(world.scene, result, ct).node
    assert layers(node) == 1
    assert list(organ_segments(node)) == [o.name for o in ORGANS]
    sides = {"left": "Left", "right": "Right", "": ""}
    for organ in ORGANS:
        found = segment(node, organ.name)
        assert found.GetName() == organ.name
        assert tuple(round(255 * c) for c in found.GetColor()) == organ.color_rgb
        entry = slicer.vtkSlicerTerminologyEntry()
        text = get_tag(found, slicer.vtkSegment.GetTerminologyEntryTagName())
        assert slicer.vtkSlicerTerminologiesModuleLogic().DeserializeTerminologyEntry(text, entry)
        assert entry.GetCategoryObject().GetCodeValue() == "123037004"
        assert entry.GetTypeObject().GetCodeValue() == organ.snomed_code
        assert (entry.GetTypeModifierObject().GetCodeMeaning() or "") == sides[organ.side]
        assert mask(node, organ.name).sum() == 1


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("transformed", [False, True])
def test_every_voxel_lies_where_it_was_in_the_patient(grid: str, transformed: bool, world: World) -> None:
    scan, local = scan_and_organs(grid)
    ct = world.volume(scan)
    if transformed:
        world.transform(TURNED, ct)
    result = replace(local, geometry=world_geometry(ct))  # the worker sees the CT in world space
    imported = import_result(world.scene, result, ct)
    for name in NAMES:
        np.testing.assert_array_equal(mask(imported.node, name), local.mask(name))
        np.testing.assert_allclose(points_lps(imported.node, name), expected_points(result, name), atol=1e-4)
    assert imported.warnings == ()


def test_the_segmentation_follows_the_ct_when_its_transform_moves(world: World) -> None:
    scan, local = scan_and_organs()
    ct = world.volume(scan)
    transform = world.transform(TURNED, ct)
    written = world_geometry(ct)
    shifted = TURNED.copy()
    shifted[:3, 3] += 25
    transform.SetMatrixTransformToParent(to_vtk(shifted))  # during the run
    imported = import_result(world.scene, replace(local, geometry=written), ct, written=written)
    assert imported.warnings == ()
    moved = replace(local, geometry=world_geometry(ct))
    np.testing.assert_allclose(points_lps(imported.node, "Brainstem"), expected_points(moved, "Brainstem"), atol=1e-4)
    assert imported.node.GetParentTransformNode() is transform


def test_into_a_node_under_another_transform_the_organs_still_lie_right(world: World) -> None:
    ct, imported, result = world.result()
    world.transform(TURNED, imported.node)
    redone = replace_organs(world.scene, result, ct, imported.node, ["Parotid_R"])
    np.testing.assert_allclose(points_lps(redone.node, "Parotid_R"), expected_points(result, "Parotid_R"), atol=1e-4)


def test_a_file_of_another_scan_is_placed_where_it_says_and_the_user_is_told(world: World) -> None:
    scan, result = scan_and_organs()
    ct = world.volume(scan)
    other = replace(result, geometry=replace(result.geometry, origin_mm_xyz=(0.0, 0.0, 0.0)))
    imported = import_result(world.scene, other, ct)
    assert "not on the grid of CT 1" in imported.warnings[0]
    np.testing.assert_allclose(points_lps(imported.node, "Brainstem"), expected_points(other, "Brainstem"), atol=1e-4)


def test_a_new_segment_gets_the_cts_grid(world: World) -> None:
    ct, imported, result = world.result("oblique and flipped")
    text = imported.node.GetSegmentation().GetConversionParameter("Reference image geometry")
    image = slicer.vtkOrientedImageData()
    slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, image)
    assert image.GetDimensions() == result.labels.shape[::-1]
    assert imported.node.GetNodeReference(imported.node.GetReferenceImageGeometryReferenceRole()) is ct


def test_an_organ_that_was_not_found_is_an_empty_flagged_segment(world: World) -> None:
    _, imported, _ = world.result()
    assert imported.missing == (MISSING,)
    assert not mask(imported.node, MISSING).any()
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    assert logic.GetSegmentStatus(segment(imported.node, MISSING)) == logic.Flagged
    assert logic.GetSegmentStatus(segment(imported.node, "Brainstem")) == logic.NotStarted
    said = json.loads(get_tag(segment(imported.node, MISSING), nodes.RESULT_TAG))
    assert said["warnings"][1] == 'A "second | sentence", ü.'


def test_surfaces_are_made_on_request_and_only_then(world: World) -> None:
    _, imported, _ = world.result()
    assert not imported.node.GetSegmentation().ContainsRepresentation(CLOSED_SURFACE)
    assert make_closed_surfaces(imported.node) == len(NAMES) - 1
    assert imported.node.GetDisplayNode().GetVisibility3D()


def test_labels_with_names_are_imported_too(world: World) -> None:
    scan, result = scan_and_organs()
    ct = world.volume(scan)
    node = import_result(
        world.scene, result.labels, ct, organs=["Brainstem", "cord", "Parotid-Rt", "Parotid_L", "Larynx"]
    ).node
    assert list(organ_segments(node)) == list(NAMES)
    assert get_tag(segment(node, "Brainstem"), "DICOM.SegmentAlgorithmType") == "", "no model is known to have made it"
    with pytest.raises(InputError, match="1 organs are named"):
        import_result(world.scene, result.labels, ct, organs=["Brainstem"])


def test_the_tags_are_those_of_the_engines_files() -> None:
    assert (nodes.RESULT_TAG, nodes.ID_PREFIX) == (seg_nrrd.RESULT_TAG, seg_nrrd.ID_PREFIX)


# --- edits, the frozen copy, redoing organs


def test_nothing_is_edited_after_import_and_what_is_changed_is_found(world: World) -> None:
    _, imported, _ = world.result()
    assert edited_segments(imported.node) == []
    paint(imported.node, "Parotid_L", erase_a_bit)
    assert edited_segments(imported.node) == ["Parotid_L"]
    imported.node.GetSegmentation().RemoveSegment(organ_segments(imported.node)["SpinalCord"])
    assert edited_segments(imported.node) == ["SpinalCord", "Parotid_L"]
    assert mask(imported.frozen, "Parotid_L").sum() == mask(imported.node, "Parotid_L").sum() + 1


def test_an_edit_in_a_layer_of_its_own_with_another_extent_is_found(world: World) -> None:
    _, imported, _ = world.result("oblique")
    ids = organ_segments(imported.node)
    segmentation_ = imported.node.GetSegmentation()
    segmentation_.SeparateSegmentLabelmap(ids["Parotid_L"])
    image = segment(imported.node, "Parotid_L").GetRepresentation(BINARY_LABELMAP)
    cropped = slicer.vtkOrientedImageData()
    extent = [0, 0, 0, 0, 0, 0]
    slicer.vtkOrientedImageDataResample.CalculateEffectiveExtent(image, extent)
    slicer.vtkOrientedImageDataResample.CopyImage(image, cropped, extent)
    segment(imported.node, "Parotid_L").AddRepresentation(BINARY_LABELMAP, cropped)
    assert cropped.GetNumberOfPoints() < image.GetNumberOfPoints()
    assert edited_segments(imported.node) == [], "cropped is not edited"
    paint(imported.node, "Parotid_L", erase_a_bit)
    assert edited_segments(imported.node) == ["Parotid_L"]


def test_a_moved_segmentation_is_edited(world: World) -> None:
    _, imported, _ = world.result()
    world.transform(TURNED, imported.node)
    imported.node.HardenTransform()
    assert edited_segments(imported.node) == list(NAMES[:-1]), "all but the empty one"


def test_a_shift_by_less_than_a_voxel_is_an_edit(world: World) -> None:
    _, imported, _ = world.result()
    shift = np.eye(4)
    shift[0, 3] = 0.4 * UPRIGHT.spacing_mm_xyz[0]
    world.transform(shift, imported.node)
    imported.node.HardenTransform()
    assert edited_segments(imported.node) == list(NAMES[:-1])


def test_a_label_map_cut_out_with_an_origin_of_its_own_is_no_edit(world: World) -> None:
    """Another program's way of cropping: the extent starts at 0 and the origin moves."""
    _, imported, result = world.result("oblique and flipped")
    from FocusNetSegmentationLib.labelmaps import oriented_image

    start = np.array([1, 2, 3])  # z, y, x
    affine = result.geometry.affine_xyz.copy()
    affine[:3, 3] = result.geometry.index_to_mm(start)
    part = result.labels[1:, 2:, 3:]
    assert (part > 0).sum() == (result.labels > 0).sum()
    image = oriented_image(part, LPS_RAS @ affine)
    for name in NAMES:
        segment(imported.node, name).AddRepresentation(BINARY_LABELMAP, image)
    assert edited_segments(imported.node) == []
    paint(imported.node, "Parotid_L", erase_a_bit)
    assert edited_segments(imported.node) == ["Parotid_L"]


def test_renaming_and_recolouring_are_no_edits(world: World) -> None:
    _, imported, _ = world.result()
    segment(imported.node, "Brainstem").SetName("Hirnstamm")
    segment(imported.node, "Brainstem").SetColor(1, 0, 0)
    assert edited_segments(imported.node) == []


def test_the_frozen_copy_is_hidden_from_every_list(world: World) -> None:
    _, imported, _ = world.result()
    assert imported.frozen.GetHideFromEditors()
    assert not imported.frozen.GetSelectable()
    assert imported.frozen.GetDisplayNode() is None
    assert frozen_copy(imported.node) is imported.frozen


def test_the_frozen_copy_goes_with_its_segmentation(world: World) -> None:
    _, imported, _ = world.result()
    world.scene.RemoveNode(imported.node)
    assert remove_orphans(world.scene) == 1
    assert world.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_only_chosen_organs_are_redone_and_edits_of_the_others_stay(world: World) -> None:
    ct, imported, result = world.result()
    paint(imported.node, "Brainstem", erase_a_bit)
    paint(imported.node, "Parotid_R", erase_a_bit)
    edited = mask(imported.node, "Brainstem").copy()
    segment(imported.node, "Parotid_R").SetColor(1, 0, 0)
    second = replace(result, provenance={**PROVENANCE, "model": "han7-second"})
    again = replace_organs(world.scene, second, ct, imported.node, ["Parotid_R"])
    assert again.node is imported.node
    assert again.frozen is imported.frozen
    assert list(again.segment_ids) == ["Parotid_R"]
    np.testing.assert_array_equal(mask(again.node, "Parotid_R"), result.mask("Parotid_R"))
    np.testing.assert_array_equal(mask(again.node, "Brainstem"), edited)
    assert edited_segments(again.node) == ["Brainstem"]
    assert layers(again.node) == 1
    assert layers(again.frozen) == 1
    assert list(organ_segments(again.node)) == list(NAMES), "the order stays"
    assert segment(again.node, "Parotid_R").GetColor() == (1, 0, 0), "a colour that the user chose stays"
    assert "han7-second" in get_tag(segment(again.node, "Parotid_R"), nodes.RUN_TAG)
    assert "han7-test" in get_tag(segment(again.node, "Brainstem"), nodes.RUN_TAG)


def test_an_edit_after_a_second_run_is_still_seen_by_slicer(world: World) -> None:
    """Views and surfaces follow the event; a label map that was put in without it would be edited unseen."""
    ct, imported, result = world.result()
    import_result(world.scene, result, ct, imported.node)
    replace_organs(world.scene, result, ct, imported.node, ["Parotid_R"])
    seen: list[str] = []
    event = slicer.vtkSegmentation.SourceRepresentationModified
    imported.node.GetSegmentation().AddObserver(event, lambda *_: seen.append("modified"))
    paint(imported.node, "Brainstem", erase_a_bit)
    assert seen == ["modified"]


def test_a_redone_organ_that_overlaps_an_edited_one_takes_nothing_from_it(world: World) -> None:
    ct, imported, result = world.result()

    def grow(array: np.ndarray, label: int) -> None:
        array[:14][result.mask("Parotid_R")[:14]] = label  # over a part of it

    paint(imported.node, "Brainstem", grow)
    edited = mask(imported.node, "Brainstem").copy()
    again = replace_organs(world.scene, result, ct, imported.node, ["Parotid_R"])
    np.testing.assert_array_equal(mask(again.node, "Parotid_R"), result.mask("Parotid_R"))
    np.testing.assert_array_equal(mask(again.node, "Brainstem"), edited)
    assert layers(again.node) == 2
    old = voxels(segment(again.node, "Brainstem").GetRepresentation(BINARY_LABELMAP))
    kept = {segment(again.node, name).GetLabelValue() for name in NAMES if name != "Parotid_R"}
    assert set(np.unique(old).tolist()) <= {0, *kept}, "no ghost of the old contour for a later segment to take up"


def test_a_segment_of_the_users_own_survives_a_second_run(world: World) -> None:
    ct, imported, result = world.result()
    own = slicer.vtkSegment()
    own.SetName("GTV")
    labels = np.zeros(result.labels.shape, np.uint8)
    labels[3:6, 3:6, 30:33] = 1
    from FocusNetSegmentationLib.labelmaps import oriented_image

    own.AddRepresentation(BINARY_LABELMAP, oriented_image(labels, LPS_RAS @ result.geometry.affine_xyz))
    imported.node.GetSegmentation().AddSegment(own, "GTV")
    paint(imported.node, "Brainstem", erase_a_bit)
    again = import_result(world.scene, result, ct, imported.node)
    kept = imported.node.GetSegmentation().GetSegment("GTV")
    assert (voxels(kept.GetRepresentation(BINARY_LABELMAP)) == kept.GetLabelValue()).sum() == 27
    assert edited_segments(again.node) == []
    assert layers(again.node) == 1
    for name in NAMES:
        np.testing.assert_array_equal(mask(again.node, name), result.mask(name))


def test_surfaces_are_brought_up_to_date_when_organs_are_redone(world: World) -> None:
    ct, imported, result = world.result()
    make_closed_surfaces(imported.node)
    bounds = segment(imported.node, "Parotid_R").GetRepresentation(CLOSED_SURFACE).GetBounds()
    labels = result.labels.copy()
    labels[16:, :, :][labels[16:, :, :] == 3] = 0
    replace_organs(world.scene, replace(result, labels=labels), ct, imported.node, ["Parotid_R"])
    assert segment(imported.node, "Parotid_R").GetRepresentation(CLOSED_SURFACE).GetBounds() != bounds
    assert segment(imported.node, "Brainstem").GetRepresentation(CLOSED_SURFACE) is not None


def test_dicom_export_tells_automatic_from_corrected_contours(world: World) -> None:
    _, imported, _ = world.result()
    paint(imported.node, "Brainstem", erase_a_bit)
    assert mark_edited(imported.node) == ["Brainstem"]
    tag = "DICOM.SegmentAlgorithmType"
    assert get_tag(segment(imported.node, "Brainstem"), tag) == "SEMIAUTOMATIC"
    assert get_tag(segment(imported.node, "SpinalCord"), tag) == "AUTOMATIC"
    assert get_tag(segment(imported.node, "SpinalCord"), "DICOM.SegmentAlgorithmName") == "FocusNetv2 han7-test"


def test_organs_that_the_result_lacks_are_refused_before_anything_changes(world: World) -> None:
    ct, imported, result = world.result()
    with pytest.raises(InputError, match="none of Cochlea_L"):
        replace_organs(world.scene, result, ct, imported.node, ["Cochlea_L"])
    with pytest.raises(InputError, match="Choose at least one"):
        replace_organs(world.scene, result, ct, imported.node, [])
    assert edited_segments(imported.node) == []


# --- files and scenes


def test_the_engines_file_is_imported_with_what_it_says(world: World, tmp_path: Path) -> None:
    scan, result = scan_and_organs("oblique")
    write_seg_nrrd(result, tmp_path / "r.seg.nrrd")
    ct = world.volume(scan)
    imported = import_result(world.scene, tmp_path / "r.seg.nrrd", ct, organs=["Parotid_L", "Larynx"])
    assert list(imported.segment_ids) == ["Parotid_L", "Larynx"]
    np.testing.assert_array_equal(mask(imported.node, "Parotid_L"), result.mask("Parotid_L"))
    assert provenance_of(imported.node) == {k: PROVENANCE[k] for k in nodes.ATTRIBUTES.values()}  # fmt: skip
    assert json.loads(imported.node.GetAttribute(nodes.PROVENANCE))["source"] == PROVENANCE["source"]


def test_a_seg_nrrd_saved_by_slicer_keeps_organs_runs_and_edits(world: World, tmp_path: Path) -> None:
    _, imported, result = world.result("sagittal slices")
    paint(imported.node, "Brainstem", erase_a_bit)
    storage = world.scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(tmp_path / "s.seg.nrrd"))
    assert storage.WriteData(imported.node) == 1
    back = open_segmentation(tmp_path / "s.seg.nrrd").node
    assert layers(back) == 1
    for name in NAMES:
        assert (mask(back, name).sum()) == mask(imported.node, name).sum()
        assert json.loads(get_tag(segment(back, name), nodes.RUN_TAG))["bundle_sha256"] == PROVENANCE["bundle_sha256"]
    by_engine = read_seg_nrrd(tmp_path / "s.seg.nrrd")
    np.testing.assert_array_equal(by_engine.mask("Parotid_L"), result.mask("Parotid_L"))
    assert {r.organ.name: r.peak for r in by_engine.results}["Brainstem"] is None, "edited: the peak no longer holds"


def test_a_saved_scene_brings_back_the_frozen_copy_the_provenance_and_the_edits(world: World, tmp_path: Path) -> None:
    ct, imported, result = world.result("oblique")
    world.transform(TURNED, ct, imported.node, imported.frozen)
    paint(imported.node, "Parotid_L", erase_a_bit)
    before = {name: points_lps(imported.node, name) for name in NAMES}
    assert world.scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    scene = load_mrb(tmp_path / "scene.mrb", tmp_path / "unpacked")
    (node,) = (
        n
        for i in range(scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode"))
        if not (n := scene.GetNthNodeByClass(i, "vtkMRMLSegmentationNode")).GetHideFromEditors()
    )
    frozen = frozen_copy(node)
    assert frozen.GetHideFromEditors()
    assert edited_segments(node) == ["Parotid_L"]
    assert provenance_of(node) == provenance_of(imported.node)
    assert json.loads(node.GetAttribute(nodes.PROVENANCE)) == json.loads(imported.node.GetAttribute(nodes.PROVENANCE))
    for name in NAMES:
        np.testing.assert_allclose(points_lps(node, name), before[name], atol=1e-3)
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()).GetName() == "CT 1"
    assert remove_orphans(scene) == 0
    loaded = scene.GetFirstNodeByName("CT 1")
    again = replace_organs(scene, replace(result, geometry=world_geometry(loaded)), loaded, node, ["Parotid_L"])
    assert edited_segments(again.node) == []


# --- the CT


@pytest.mark.parametrize("grid", GRIDS)
def test_the_worker_gets_the_ct_in_world_space(grid: str, world: World, tmp_path: Path) -> None:
    scan = phantom(0, (5.0, 5.0, 6.0))[0] if grid == "upright" else scan_and_organs(grid)[0]
    ct = world.volume(scan)
    world.transform(TURNED @ np.diag([1.1, 1.1, 1.1, 1.0]), ct)
    nodes_before = world.scene.GetNumberOfNodes()
    geometry = write_ct_for_worker(ct, tmp_path / "ct.nrrd")
    assert world.scene.GetNumberOfNodes() == nodes_before, "no stray node"
    assert geometry.same_grid_as(world_geometry(ct))
    assert geometry.spacing_mm_xyz[0] == pytest.approx(1.1 * scan.geometry.spacing_mm_xyz[0])
    back = sitk.ReadImage(str(tmp_path / "ct.nrrd"))
    direction = tuple(map(tuple, np.asarray(back.GetDirection()).reshape(3, 3)))
    stored = Geometry(scan.array.shape, back.GetSpacing(), back.GetOrigin(), direction)
    assert stored.same_grid_as(geometry)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back), scan.array)
    if grid == "upright":
        assert read_volume(tmp_path / "ct.nrrd").array.shape == scan.array.shape, "the engine takes it"


def test_a_folder_that_cannot_be_written_is_one_line_and_no_file(world: World, tmp_path: Path) -> None:
    ct = world.volume(scan_and_organs()[0])
    with pytest.raises(OutputError, match="disk is full or the folder not writable"):
        write_ct_for_worker(ct, tmp_path / "missing" / "ct.nrrd")


def good_ct(world: World) -> Any:
    return world.volume(phantom(0, (5.0, 5.0, 5.0))[0])


def test_a_usable_ct_is_described_in_one_line(world: World) -> None:
    level, text = volume_summary(good_ct(world))
    assert level == "ok", text
    assert "CT in HU (-1" in text
    assert "voxels of 5 x 5 x 5 mm, field of view 300 x 280 x 350 mm, axial slices." in text
    assert "\n" not in text


def test_a_thick_tilted_scan_is_used_with_a_warning(world: World) -> None:
    ct = world.volume(phantom(0, (5.0, 5.0, 6.0))[0])
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]
    world.transform(turn, ct)
    level, text = volume_summary(ct)
    assert level == "warning"
    assert "tilted by 17 degrees" in text
    assert "Slices are 6.0 mm apart" in text


def refused(node: Any) -> str:
    level, text = volume_summary(node)
    assert level == "refused", text
    assert "\n" not in text
    return text


def test_what_is_no_ct_is_refused_with_a_reason(world: World) -> None:
    scan = scan_and_organs()[0]
    assert "Load a head-and-neck CT" in refused(None)
    assert "has no voxels" in refused(world.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"))
    assert "not a scalar volume" in refused(world.volume(scan, kind="vtkMRMLLabelMapVolumeNode"))
    mr = world.volume(scan)
    mr.SetAttribute("DICOM.Modality", "MR")
    assert "has the modality MR" in refused(mr)
    nan = phantom(0, (5.0, 5.0, 5.0))[0]
    assert "every voxel is 0" in refused(world.volume(replace(nan, array=np.zeros_like(nan.array))))
    array = nan.array.astype(np.float32)
    array[3, 3, 3] = np.nan
    assert "not numbers" in refused(world.volume(replace(nan, array=array)))
    small = replace(nan, geometry=replace(nan.geometry, spacing_mm_xyz=(0.5, 0.5, 5.0)))
    assert "field of view" in refused(world.volume(small))


def test_the_modality_in_the_subject_hierarchy_counts(world: World) -> None:
    ct = good_ct(world)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(world.scene)
    item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), ct)
    hierarchy.SetItemAttribute(item, "DICOM.Modality", "CT")
    assert volume_summary(ct)[0] == "ok"
    hierarchy.SetItemAttribute(item, "DICOM.Modality", "PT")
    assert "has the modality PT" in refused(ct)


def test_a_missing_rescale_intercept_names_what_to_do(world: World) -> None:
    scan = phantom(0, (5.0, 5.0, 5.0))[0]
    ct = world.volume(replace(scan, array=scan.array + 1024))
    assert 'set "Add to every voxel (HU)" under Advanced to -1024 (in Python: hu_offset=-1024).' in refused(ct)
    level, text = volume_summary(ct, hu_offset=-1024.0)
    assert level == "warning", "what is remedied may be used, and is told"
    assert "-1024 was added to every value as asked." in text


def test_a_non_linear_or_shearing_transform_is_refused_with_the_remedy(world: World, tmp_path: Path) -> None:
    ct = good_ct(world)
    grid = world.scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "Warp")
    ct.SetAndObserveTransformNodeID(grid.GetID())
    assert "non-linear transform Warp. Harden it" in refused(ct)
    with pytest.raises(InputError, match="non-linear"):
        write_ct_for_worker(ct, tmp_path / "ct.nrrd")
    shear = np.eye(4)
    shear[0, 1] = 0.3
    world.transform(shear, ct)
    assert "not perpendicular" in refused(ct)
    flat = np.diag([1.0, 1.0, 0.0, 1.0])
    world.transform(flat, ct)
    assert "axis without length" in refused(ct)


def test_a_hardened_copy_can_be_segmented_and_the_volume_stays(world: World) -> None:
    ct = good_ct(world)
    before = voxels_of(ct).copy()
    here, there = vtk.vtkPoints(), vtk.vtkPoints()
    for point, moved in (
        ((0, 0, 0), (4, 0, 0)),
        ((90, 0, 0), (90, 0, 0)),
        ((0, 90, 0), (0, 95, 0)),
        ((0, 0, 90), (0, 0, 90)),
    ):
        here.InsertNextPoint(*point)
        there.InsertNextPoint(*moved)
    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetSourceLandmarks(here)
    spline.SetTargetLandmarks(there)
    spline.SetBasisToR()
    warp = world.scene.AddNewNodeByClass("vtkMRMLTransformNode", "Warp")
    warp.SetAndObserveTransformToParent(spline)
    ct.SetAndObserveTransformNodeID(warp.GetID())
    assert has_non_linear_transform(ct)
    copy = hardened_copy(ct)
    assert volume_summary(copy)[0] == "ok"
    assert copy.GetParentTransformNode() is None
    assert copy.GetName() == "CT 1 hardened"
    assert ct.GetParentTransformNode() is warp
    np.testing.assert_array_equal(voxels_of(ct), before)


def test_a_frame_of_a_sequence_is_named(world: World) -> None:
    ct = good_ct(world)
    sequence = world.scene.AddNewNodeByClass("vtkMRMLSequenceNode", "4D CT")
    slicer.vtkSlicerSequencesLogic().SetMRMLScene(world.scene)  # registers the browser's class
    browser = world.scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "4D CT browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    sequence.SetDataNodeAtValue(ct, "0")
    proxy = browser.AddProxyNode(ct, sequence, False)
    level, text = volume_summary(proxy)
    assert level == "warning"
    assert "one frame of the sequence 4D CT browser" in text


def test_without_scipy_and_simpleitk_the_check_is_left_to_the_worker(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [n for n in sys.modules if n.startswith(("focusnet.io", "focusnet.preprocess"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    level, text = volume_summary(good_ct(world))
    assert level == "warning"
    assert "not all packages are installed yet" in text


def run_alone(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python process of its own that finds what this one finds."""
    path = [p for p in sys.path if p]
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n{code}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_modules_import_before_anything_is_installed() -> None:
    code = (
        "import sys\nfor n in ('torch', 'scipy', 'SimpleITK', 'pydicom', 'slicerio', 'nrrd', 'platformdirs', 'psutil'): sys.modules[n] = None\n"
        "import FocusNetSegmentationLib.nodes, FocusNetSegmentationLib.worker, FocusNetSegmentationLib.inference\n"
        "import FocusNetSegmentationLib.installer, FocusNetSegmentationLib.preflight, FocusNetSegmentationLib.training\n"
    )
    done = run_alone(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured through /proc")
def test_22_organs_on_a_full_scan_fit_into_one_layer_and_800_megabytes() -> None:
    """From the engine's file to nodes with the frozen copy. Seconds are in docs/benchmarks.md: they are no test."""
    program = Path(__file__).resolve().parents[2] / "benchmarks" / "slicer_nodes.py"
    done = subprocess.run(
        [sys.executable, str(program), "--json", "--import-only"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert measured["organs"] == 22
    assert measured["added_mb"] < 800, measured
    assert measured["layers"] == 1
