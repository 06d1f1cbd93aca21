"""The CT of a scene on Slicer's own core: in world space for the worker, described in one line, or refused with a reason."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

import vtk

from focusnet.errors import InputError, OutputError
from focusnet.image.volume import Geometry
from focusnet.io import read_volume
from focusnet.phantom.write import phantom
from FocusNetSegmentationLib.scene.volumes import (
    hardened_copy,
    has_non_linear_transform,
    volume_summary,
    voxels_of,
    world_geometry,
    write_ct_for_worker,
)

from ...Core.helpers_outputs import GRIDS, scan_and_organs
from ..helpers_nodes import TURNED, World


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


# --- before anything is installed


def test_without_scipy_and_simpleitk_the_check_is_left_to_the_worker(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [n for n in sys.modules if n.startswith(("focusnet.io", "focusnet.inference.preprocess"))]:
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
        "import FocusNetSegmentationLib.scene.nodes, FocusNetSegmentationLib.process.worker, FocusNetSegmentationLib.process.inference\n"
        "import FocusNetSegmentationLib.install.installer, FocusNetSegmentationLib.install.preflight, FocusNetSegmentationLib.process.training\n"
    )
    done = run_alone(code)
    assert done.returncode == 0, done.stderr
