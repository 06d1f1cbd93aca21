"""A segment's tags keep every field of an organ's result, in memory and in a file, and those of older versions stay readable."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from focusnet.image.segmentation import OrganResult
from focusnet.io.read import read_segmentation
from focusnet.io.segment_tags import (
    from_tag,
    tag_value,
    tagged_alarms,
    tagged_peak_mm_xyz,
    tagged_status,
    tagged_voxels,
    to_tag,
)
from focusnet.io.write import write_image

from ..helpers_outputs import full_result, scan_and_organs

VOXEL_ML = 0.003
RESULT = replace(full_result("Pituitary", 4), volume_ml=7 * VOXEL_ML)
FIELDS = [f.name for f in fields(OrganResult)]


def test_the_result_that_is_tried_leaves_no_field_at_its_default() -> None:
    for field in fields(OrganResult):
        assert getattr(RESULT, field.name) != field.default, field.name


def test_every_field_comes_back_from_a_tag() -> None:
    assert from_tag(to_tag(RESULT, 7), RESULT.organ, 4, 7, VOXEL_ML) == RESULT


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_comes_back_from_a_file(field: str, tmp_path: Path) -> None:
    _, segmentation = scan_and_organs()
    first = segmentation.results[0]
    written = full_result(first.organ.name, first.label)
    written = replace(written, found=first.found, volume_ml=first.volume_ml)
    write_image(replace(segmentation, results=(written, *segmentation.results[1:])), tmp_path / "r.seg.nrrd")
    back = read_segmentation(tmp_path / "r.seg.nrrd").results[0]
    expected = getattr(written, field)
    assert getattr(back, field) == (pytest.approx(expected) if field == "volume_ml" else expected)


def test_a_tag_holds_no_bar_and_ascii_only() -> None:
    text = to_tag(RESULT, 7)
    assert "|" in RESULT.warnings[0]
    assert "|" not in text
    assert text.isascii()


def test_an_organ_with_another_number_of_voxels_was_edited_and_keeps_its_volume_only() -> None:
    back = from_tag(to_tag(RESULT, 7), RESULT.organ, 4, 8, VOXEL_ML)
    assert back == OrganResult(organ=RESULT.organ, label=4, found=True, volume_ml=8 * VOXEL_ML)


@pytest.mark.parametrize("text", ["", "no JSON", "[1, 2]", "null", '{"voxels": "many"}'])
def test_a_foreign_tag_says_nothing(text: str) -> None:
    back = from_tag(text, RESULT.organ, 4, 7, VOXEL_ML)
    assert (back.peak, back.warnings, back.found) == (None, (), True)
    assert tagged_voxels(text) is None
    assert tagged_peak_mm_xyz(text) is None


def test_the_tags_that_the_panel_wrote_before_it_kept_the_second_peak_are_read() -> None:
    text = '{"found": true, "voxels": 7, "peak": 0.75, "peak_mm_lps": [1.0, -2.0, 3.5], "warnings": ["Look at it."]}'
    back = from_tag(text, RESULT.organ, 4, 7, VOXEL_ML)
    assert (back.peak, back.peak_mm_xyz, back.warnings) == (0.75, (1.0, -2.0, 3.5), ("Look at it.",))
    assert (back.second_peak, back.second_mm_xyz, back.spread_mm) == (None, None, None)
    assert (tagged_voxels(text), tagged_peak_mm_xyz(text)) == (7, (1.0, -2.0, 3.5))


def test_removed_specks_were_a_warning_once_and_are_a_note_now() -> None:
    specks = "2 separate parts, 0.13 ml in all, removed as too small to belong to the organ."
    text = json.dumps({"found": True, "voxels": 7, "warnings": ["Look at it.", specks]})
    back = from_tag(text, RESULT.organ, 4, 7, VOXEL_ML)
    assert (back.warnings, back.notes, back.grade) == (("Look at it.",), (specks,), "warning")
    assert tagged_status(text, 7) == ("found", ("Look at it.",))


def test_alarms_are_the_models_until_the_organ_is_edited() -> None:
    text = to_tag(RESULT, 7)
    assert tagged_alarms(text, 7) == RESULT.alarms != ()
    assert tagged_alarms(text, 8) == ()


def test_a_tags_text_is_an_object_or_nothing() -> None:
    assert tag_value(None) == tag_value("7") == {}
