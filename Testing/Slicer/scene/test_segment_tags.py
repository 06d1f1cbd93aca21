"""Everything that an organ's result says comes back from a node of the scene, from the file that Slicer saves and from the panel's export."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from focusnet.image.segmentation import OrganResult, Segmentation
from focusnet.io.read import read_segmentation
from FocusNetSegmentationLib.exchange.export import export
from FocusNetSegmentationLib.scene.as_segmentation import segmentation_on
from FocusNetSegmentationLib.scene.nodes import import_result
from FocusNetSegmentationLib.scene.volumes import world_geometry

from ...Core.helpers_outputs import full_result, scan_and_organs
from ..helpers_nodes import World, save_segmentation

FIELDS = [field.name for field in fields(OrganResult)]


def full(segmentation: Segmentation) -> Segmentation:
    """The segmentation with a first organ that says something in every field."""
    first, *others = segmentation.results
    told = replace(full_result(first.organ.name, first.label), volume_ml=first.volume_ml)
    return replace(segmentation, results=(told, *others))


@pytest.fixture
def imported(world: World) -> tuple[Any, Any, OrganResult]:
    """The segmentation's node, the CT's, and what was said of the first organ."""
    scan, segmentation = scan_and_organs()
    ct = world.volume(scan)
    result = full(segmentation)
    return import_result(world.scene, result, ct).node, ct, result.results[0]


def check(back: Segmentation, expected: OrganResult, field: str) -> None:
    value = getattr(expected, field)
    assert getattr(back.results[0], field) == (pytest.approx(value) if field == "volume_ml" else value)


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_comes_back_from_a_node(imported: Any, field: str) -> None:
    node, ct, expected = imported
    back, _ = segmentation_on(world_geometry(ct), node)
    check(back, expected, field)


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_comes_back_from_the_file_that_slicer_saves(imported: Any, field: str, tmp_path: Path) -> None:
    node, _, expected = imported
    check(read_segmentation(save_segmentation(node, tmp_path / "s.seg.nrrd")), expected, field)


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_comes_back_from_the_panels_export(imported: Any, field: str, tmp_path: Path) -> None:
    node, ct, expected = imported
    export(node, ct, tmp_path / "e.seg.nrrd", "seg.nrrd")
    check(read_segmentation(tmp_path / "e.seg.nrrd"), expected, field)
