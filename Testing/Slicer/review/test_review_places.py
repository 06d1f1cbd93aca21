"""Seeds on Slicer's own core: where the model looked for an organ, dragged, saved, handed to the worker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from focusnet.errors import InputError
from FocusNetSegmentationLib.process.inference import RunOptions, SegmentationRun
from FocusNetSegmentationLib.review.seed_points import place_seed, seed_mm_lps, seed_of, show_seed, why_no_seed
from FocusNetSegmentationLib.scene.nodes import SEED_ROLE, remove_orphans

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
