"""Where the review looks, on Slicer's own core: seeds that can be dragged and saved, slice views on one organ, windows given back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from focusnet.errors import InputError
from focusnet.image.organs import find_organ
from FocusNetSegmentationLib.process.inference import RunOptions, SegmentationRun
from FocusNetSegmentationLib.review import views as review_views
from FocusNetSegmentationLib.review.seed_points import place_seed, seed_mm_lps, seed_of, show_seed, why_no_seed
from FocusNetSegmentationLib.review.views import Views, box_ras, window_for
from FocusNetSegmentationLib.scene.nodes import SEED_ROLE, organ_segments, remove_orphans

from ...Core.helpers_outputs import GRIDS
from ...paths import ROOT
from ..helpers_nodes import TURNED, World, load_mrb, points_lps, segmentation_of

# --- seeds


def test_a_seed_starts_where_the_model_found_the_organ_is_dragged_and_saved(world: World, tmp_path: Path) -> None:
    _, imported, _ = world.result()
    seed = place_seed(world.scene, imported.node, "Brainstem")
    assert seed_mm_lps(imported.node, "Brainstem") == pytest.approx((1.5, -2.25, 3.0)), "the heat map's peak"
    assert (seed.GetNumberOfControlPoints(), seed.GetName()) == (1, "Brainstem seed")
    assert not seed.GetDisplayNode().GetVisibility(), "hidden until it is asked for"
    seed.SetNthControlPointPositionWorld(0, 10.0, 20.0, 30.0)
    assert seed_mm_lps(imported.node, "Brainstem") == pytest.approx((-10.0, -20.0, 30.0))
    assert place_seed(world.scene, imported.node, "Brainstem") is seed, "where it was left"
    assert world.scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    scene = load_mrb(tmp_path / "scene.mrb", tmp_path / "unpacked")
    back = segmentation_of(scene)
    assert seed_mm_lps(back, "Brainstem") == pytest.approx((-10.0, -20.0, 30.0), abs=1e-3)


@pytest.mark.parametrize("grid", GRIDS)
def test_an_organ_without_a_heat_map_has_its_seed_in_its_middle_and_it_goes_with_the_patient(
    world: World, grid: str
) -> None:
    ct, imported, _ = world.result(grid)
    transform = world.transform(TURNED, ct, imported.node, imported.frozen)
    place_seed(world.scene, imported.node, "Parotid_R")
    for _ in range(2):
        middle = points_lps(imported.node, "Parotid_R").mean(axis=0)
        np.testing.assert_allclose(seed_mm_lps(imported.node, "Parotid_R"), middle, atol=0.01)
        transform.SetMatrixTransformToParent(slicer.vtkMRMLLinearTransformNode().GetMatrixTransformToParent())


def test_an_organ_that_was_found_nowhere_gets_its_seed_where_the_person_looks(world: World) -> None:
    _, imported, _ = world.result()
    with pytest.raises(InputError, match="Larynx was found nowhere"):
        place_seed(world.scene, imported.node, "Larynx")
    with pytest.raises(InputError, match="Larynx has no seed"):
        seed_mm_lps(imported.node, "Larynx")
    place_seed(world.scene, imported.node, "Larynx", (1.0, 2.0, 3.0))
    assert seed_mm_lps(imported.node, "Larynx") == pytest.approx((-1.0, -2.0, 3.0))


def test_one_seed_is_shown_at_a_time_and_all_go_with_the_segmentation(world: World) -> None:
    _, imported, _ = world.result()
    for organ in ("Brainstem", "Parotid_L"):
        place_seed(world.scene, imported.node, organ)
    show_seed(imported.node, "Parotid_L")
    shown = {o: bool(seed_of(imported.node, o).GetDisplayNode().GetVisibility()) for o in ("Brainstem", "Parotid_L")}
    assert shown == {"Brainstem": False, "Parotid_L": True}
    show_seed(imported.node, None)
    assert not seed_of(imported.node, "Parotid_L").GetDisplayNode().GetVisibility()
    assert seed_of(imported.node, "Larynx") is None
    world.scene.RemoveNode(imported.node)
    remove_orphans(world.scene)
    nodes = [world.scene.GetNthNode(i) for i in range(world.scene.GetNumberOfNodes())]
    assert not [n.GetName() for n in nodes if n.GetAttribute(SEED_ROLE)]


def test_the_worker_is_told_the_seed(world: World) -> None:
    ct, imported, _ = world.result()
    asked: list[Any] = []

    class NeverStarted:
        """Test double of a process that cannot be started."""

        on_stdout = on_stderr = on_finished = None

        def start(self, *_: object) -> None:
            raise OSError("test")

        def terminate_tree(self) -> list[int]:
            return []

    def command(request: Any) -> tuple[str, list[str]]:
        asked.append(request.arguments())
        return "none", []

    options = RunOptions(organs=["Brainstem"], seeds={"Brainstem": (1.5, -2.25, 3)})
    run = SegmentationRun(ct, imported.node, options, process=NeverStarted(), command=command)  # type: ignore[arg-type]
    run.start()
    assert "--seed-point=Brainstem=1.500,-2.250,3.000" in asked[0]
    assert asked[0][asked[0].index("--organs") + 1] == "Brainstem"


def test_a_model_that_cannot_look_from_a_seed_says_why() -> None:
    shipped = json.loads((ROOT / "FocusNetSegmentation/Resources/Models/han7-openkbp/bundle.json").read_text())
    full = {"name": "full", "network": {"has_sos": True, "small_organs": ["Larynx"]}}
    assert "han7-openkbp has no SOS-Nets" in why_no_seed(
        {**shipped, "network": {**shipped["network"], "has_sos": False}}, "Larynx"
    )
    assert why_no_seed(full, "Larynx") == ""
    assert (
        why_no_seed(full, "Brainstem") == "full has no SOS-Net for Brainstem: seeds are for its small organs, Larynx."
    )
    assert "no SOS-Nets" in why_no_seed({}, "Larynx")


# --- views


def three_views(world: World) -> list[Any]:
    views = []
    for name in ("Axial", "Sagittal", "Coronal"):
        node = world.scene.AddNewNodeByClass("vtkMRMLSliceNode", name)
        node.SetDimensions(400, 300, 1)
        getattr(node, f"SetOrientationTo{name}")()
        node.SetFieldOfView(400.0, 300.0, 1.0)
        views.append(node)
    return views


@pytest.mark.parametrize("grid", GRIDS)
def test_every_view_is_centred_on_the_organ_and_shows_it_whole(world: World, grid: str) -> None:
    ct, imported, _ = world.result(grid)
    world.transform(TURNED, ct, imported.node, imported.frozen)
    views = three_views(world)
    segment_id = organ_segments(imported.node)["Parotid_L"]
    assert Views(world.scene).focus(imported.node, segment_id, "Parotid_L", ct)
    points = points_lps(imported.node, "Parotid_L") * (-1, -1, 1)
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    for node in views:
        matrix = node.GetSliceToRAS()
        center = np.array([matrix.GetElement(i, 3) for i in range(3)])
        assert np.abs(center - middle).max() < 4.1, "within a voxel"
        width, height, _ = node.GetFieldOfView()
        assert width / height == pytest.approx(400 / 300)
        assert height < 150, "zoomed"
        axes = np.array([[matrix.GetElement(r, c) for c in range(2)] for r in range(3)])
        across = np.abs((points - center) @ axes).max(axis=0)
        assert (across < np.array([width, height]) / 2 - 10).all(), "with its surroundings"


def test_window_and_links_are_given_back_when_the_review_ends(world: World) -> None:
    ct, imported, _ = world.result()
    ct.CreateDefaultDisplayNodes()
    display = ct.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(1234, 321)
    composite = world.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    view = world.scene.AddNewNodeByClass("vtkMRMLViewNode")
    view.SetBackgroundColor(0.1, 0.2, 0.3)
    views, ids = Views(world.scene), organ_segments(imported.node)
    views.focus(imported.node, ids["Parotid_L"], "Parotid_L", ct)
    assert (display.GetWindow(), display.GetLevel()) == review_views.SOFT_TISSUE
    assert composite.GetLinkedControl()
    views.focus(imported.node, ids["Brainstem"], "Brainstem", ct)
    assert (display.GetWindow(), display.GetLevel()) == review_views.BRAIN
    views.restore()
    assert (display.GetWindow(), display.GetLevel(), display.GetAutoWindowLevel()) == (1234, 321, 0)
    assert not composite.GetLinkedControl()
    assert view.GetBackgroundColor() == (0.1, 0.2, 0.3)
    assert not views.is_active
    views.focus(imported.node, ids["Parotid_L"], "Parotid_L", ct)
    world.scene.RemoveNode(ct)
    views.restore()


def test_an_automatic_window_is_automatic_again(world: World) -> None:
    ct, imported, _ = world.result()
    ct.CreateDefaultDisplayNodes()
    ct.GetDisplayNode().SetAutoWindowLevel(True)
    views = Views(world.scene)
    views.focus(imported.node, organ_segments(imported.node)["Parotid_L"], "Parotid_L", ct)
    views.restore()
    assert ct.GetDisplayNode().GetAutoWindowLevel()


def test_an_empty_organ_is_looked_for_at_its_place_or_not_at_all(world: World) -> None:
    ct, imported, _ = world.result()
    (view, *_) = three_views(world)
    segment_id = organ_segments(imported.node)["Larynx"]
    assert box_ras(imported.node, segment_id) is None
    before = view.GetFieldOfView()
    assert not Views(world.scene).focus(imported.node, segment_id, "Larynx", ct)
    assert view.GetFieldOfView() == before
    assert Views(world.scene).focus(imported.node, segment_id, "Larynx", ct, (10.0, 20.0, 30.0))
    assert [view.GetSliceToRAS().GetElement(i, 3) for i in range(3)] == pytest.approx([10, 20, 30])


def test_every_window_is_of_an_organ_that_there_is() -> None:
    for name in review_views.WINDOWS:
        assert find_organ(name) or find_organ(f"{name}_L"), name
    assert window_for("Cochlea_R") == review_views.BONE
    assert window_for("Parotid_R") == window_for("GTV") == review_views.SOFT_TISSUE
