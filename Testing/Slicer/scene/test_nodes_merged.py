"""A result of several models in the scene: each segment names its own, one organ drawn anew keeps the rest, exports tell them apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from focusnet.image.drawn_by import caution_of, model_of
from focusnet.io.segment_tags import RUN_TAG, tag_value
from FocusNetSegmentationLib.scene.as_segmentation import segmentation_on
from FocusNetSegmentationLib.scene.labelmaps import get_tag
from FocusNetSegmentationLib.scene.nodes import import_result, provenance_of, replace_organs
from FocusNetSegmentationLib.scene.run_tags import caution_text, node_provenance
from FocusNetSegmentationLib.scene.volumes import world_geometry

from ...Core.helpers_outputs import CAUTION, MERGED, NAMES, PROVENANCE, scan_and_organs
from ..helpers_nodes import World, segment

EYES = {**MERGED["models"][1], "device": "cpu"}  # type: ignore[index,dict-item]


def merged_node(world: World) -> tuple[object, object]:
    scan, result = scan_and_organs()
    ct = world.volume(scan)
    return ct, import_result(world.scene, replace(result, provenance=dict(MERGED)), ct).node


def test_each_segment_names_the_model_that_drew_it(world: World) -> None:
    _, node = merged_node(world)
    runs = {name: tag_value(get_tag(segment(node, name), RUN_TAG)) for name in NAMES}
    assert {name: run["model"] for name, run in runs.items()} == {name: model_of(MERGED, name) for name in NAMES}
    assert [name for name in NAMES if "caution" in runs[name]] == ["Parotid_R", "Parotid_L", "Larynx"]
    assert caution_text(node) == f"Parotid_R, Parotid_L, Larynx: {CAUTION}"
    assert provenance_of(node)["model"] == "han7-test + eyes22"


def test_many_organs_of_a_model_are_counted_in_the_narrow_panel(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("FocusNetSegmentationLib.scene.run_tags.FEW", 2)
    _, node = merged_node(world)
    assert caution_text(node) == f"3 of 5 organs, by eyes22: {CAUTION}"


def test_the_caution_of_an_earlier_run_stays_with_its_organs(world: World) -> None:
    """A second Apply with a model that asks for none must not take it from what the first model drew."""
    scan, result = scan_and_organs()
    ct = world.volume(scan)
    first = {**PROVENANCE, "model": "eyes22", "bundle_sha256": "cd" * 32, "caution": CAUTION}
    node = import_result(world.scene, replace(result, provenance=first), ct).node
    replace_organs(world.scene, replace(result, provenance=dict(PROVENANCE)), ct, node, ["Brainstem", "SpinalCord"])
    found, _ = segmentation_on(world_geometry(ct), node)
    assert [name for name in NAMES if caution_of(found.provenance, name)] == ["Parotid_R", "Parotid_L", "Larynx"]
    assert model_of(found.provenance, "Brainstem") == "han7-test"


def test_an_organ_drawn_anew_by_one_of_the_models_leaves_the_others_theirs(world: World) -> None:
    ct, node = merged_node(world)
    _, result = scan_and_organs()
    alone = {key: value for key, value in EYES.items() if key != "organs"}
    replace_organs(world.scene, replace(result, provenance=alone), ct, node, ["Parotid_R"])
    found, _ = segmentation_on(world_geometry(ct), node)
    assert {name: model_of(found.provenance, name) for name in NAMES} == {
        name: model_of(MERGED, name) for name in NAMES
    }
    assert caution_of(found.provenance, "Parotid_R") == CAUTION
    assert caution_of(found.provenance, "Brainstem") == ""
    assert provenance_of(node)["model"] == "han7-test + eyes22"
    assert node_provenance(node)["bundle_sha256"] == MERGED["bundle_sha256"]
