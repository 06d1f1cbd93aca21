"""Results as nodes on Slicer's own core: names, codes, colours, the place in the patient, what is not found, surfaces, memory."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from focusnet.errors import InputError
from focusnet.image.organs import ORGANS
from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Volume
from FocusNetSegmentationLib.scene import nodes
from FocusNetSegmentationLib.scene.labelmaps import get_tag
from FocusNetSegmentationLib.scene.nodes import import_result, make_closed_surfaces, organ_segments, replace_organs
from FocusNetSegmentationLib.scene.volumes import to_vtk, world_geometry

from ...Core.helpers_outputs import GRIDS, MISSING, NAMES, UPRIGHT, scan_and_organs, segmentation
from ...paths import ROOT
from ..helpers_nodes import TURNED, World, layers, mask, points_lps, segment
from ..helpers_slicer import CLOSED_SURFACE


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


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured through /proc")
def test_22_organs_on_a_full_scan_fit_into_one_layer_and_800_megabytes() -> None:
    """From the engine's file to nodes with the frozen copy. Seconds are in docs/benchmarks.md: they are no test."""
    program = ROOT / "benchmarks" / "slicer_nodes.py"
    done = subprocess.run(
        [sys.executable, str(program), "--json", "--import-only"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert measured["organs"] == 22
    assert measured["added_mb"] < 800, measured
    assert measured["layers"] == 1


# --- where they lie


def expected_points(result: Segmentation, name: str) -> np.ndarray:
    points = result.geometry.index_to_mm(np.argwhere(result.mask(name)))
    return points[np.lexsort(np.round(points, 3).T)]


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
