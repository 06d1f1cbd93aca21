"""Organs of a result drawn a second time on Slicer's own core: the others, their edits and the user's own segments stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from focusnet.errors import InputError
from FocusNetSegmentationLib.scene import nodes
from FocusNetSegmentationLib.scene.labelmaps import get_tag, voxels
from FocusNetSegmentationLib.scene.nodes import (
    edited_segments,
    import_result,
    make_closed_surfaces,
    organ_segments,
    replace_organs,
)
from FocusNetSegmentationLib.scene.volumes import LPS_RAS

from ...Core.helpers_outputs import NAMES, PROVENANCE
from ..helpers_nodes import World, erase_a_bit, layers, mask, paint, segment
from ..helpers_slicer import BINARY_LABELMAP, CLOSED_SURFACE


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
    assert set(np.unique(old).tolist()) <= {0, *kept}, (
        "no shape prior of the old contour for a later segment to take up"
    )


def test_a_segment_of_the_users_own_survives_a_second_run(world: World) -> None:
    ct, imported, result = world.result()
    own = slicer.vtkSegment()
    own.SetName("GTV")
    labels = np.zeros(result.labels.shape, np.uint8)
    labels[3:6, 3:6, 30:33] = 1
    from FocusNetSegmentationLib.scene.labelmaps import oriented_image

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


def test_organs_that_the_result_lacks_are_refused_before_anything_changes(world: World) -> None:
    ct, imported, result = world.result()
    with pytest.raises(InputError, match="none of Cochlea_L"):
        replace_organs(world.scene, result, ct, imported.node, ["Cochlea_L"])
    with pytest.raises(InputError, match="Choose at least one"):
        replace_organs(world.scene, result, ct, imported.node, [])
    assert edited_segments(imported.node) == []
