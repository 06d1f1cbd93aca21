"""Results in files and saved scenes: the engine's files opened in Slicer, Slicer's own opened again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from focusnet.io.seg_nrrd import read_seg_nrrd, write_seg_nrrd
from focusnet.io.segment_tags import RUN_TAG
from FocusNetSegmentationLib.scene import nodes
from FocusNetSegmentationLib.scene.labelmaps import get_tag
from FocusNetSegmentationLib.scene.nodes import (
    edited_segments,
    frozen_copy,
    import_result,
    provenance_of,
    remove_orphans,
    replace_organs,
)
from FocusNetSegmentationLib.scene.volumes import world_geometry

from ...Core.helpers_outputs import NAMES, PROVENANCE, scan_and_organs
from ..helpers_nodes import TURNED, World, erase_a_bit, layers, load_mrb, mask, paint, points_lps, segment
from ..helpers_slicer import open_segmentation


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
        assert json.loads(get_tag(segment(back, name), RUN_TAG))["bundle_sha256"] == PROVENANCE["bundle_sha256"]
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
