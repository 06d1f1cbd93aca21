"""The edit audit says what a person changed, in numbers that can be counted by hand, and nothing about what was left alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from focusnet.errors import InputError, OutputError
from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Geometry
from focusnet.qa.audit import active_seconds, added_path_mm, audit, text_table, write_audit

from ..helpers_outputs import GRIDS, scan_and_organs, segmentation, stored_as


def edited_copy(frozen: Segmentation) -> Segmentation:
    """Brainstem: one row longer at the back on every slice; left parotid: deleted; larynx: drawn; the rest as it was."""
    labels = frozen.labels.copy()
    labels[18:26, 24, 17:23] = 1
    labels[labels == 4] = 0
    labels[12:14, 10:12, 18:22] = 5
    return segmentation(labels, frozen.geometry)


def test_every_number_of_an_edit_can_be_counted_by_hand() -> None:
    _, frozen = scan_and_organs()  # voxels of 2 x 2.5 x 4 mm
    rows = {o.organ: o for o in audit(frozen, edited_copy(frozen), active_s={"Brainstem": 12.5}).organs}
    brainstem = rows["Brainstem"]
    assert (brainstem.voxels_added, brainstem.voxels_removed) == (8 * 6, 0)
    assert brainstem.dsc == pytest.approx(2 * 240 / (240 + 288))
    # the new last row of 6, and the two ends of the old one, which were contour before: 6 new voxels a slice, 2.25 mm each
    assert brainstem.added_path_mm == pytest.approx(8 * 6 * 2.25)
    assert brainstem.path_mm == pytest.approx(8 * (2 * 6 + 2 * 4) * 2.25)
    assert brainstem.volume_change_ml == pytest.approx(48 * 0.02)
    assert brainstem.hd95_mm == pytest.approx(2.5)
    assert brainstem.surface_dsc < 1
    assert brainstem.active_s == 12.5
    untouched = rows["SpinalCord"]
    assert (untouched.changed, untouched.dsc, untouched.added_path_mm, untouched.voxels_added) == (False, 1.0, 0.0, 0)


def test_an_organ_deleted_or_drawn_as_a_whole_is_counted_as_such() -> None:
    _, frozen = scan_and_organs()
    rows = {o.organ: o for o in audit(frozen, edited_copy(frozen)).organs}
    deleted, drawn = rows["Parotid_L"], rows["Larynx"]
    assert (deleted.dsc, deleted.added_path_mm, deleted.voxels_removed) == (0.0, 0.0, 6 * 6 * 3)
    assert (drawn.dsc, drawn.voxels_added) == (0.0, 16)
    assert drawn.added_path_mm == drawn.path_mm > 0
    assert np.isinf(deleted.hd95_mm)


def test_an_organ_that_only_one_copy_names_is_not_lost() -> None:
    _, frozen = scan_and_organs()
    fewer = replace(frozen, results=frozen.results[1:], labels=np.where(frozen.labels == 1, 0, frozen.labels))
    assert next(o for o in audit(frozen, fewer).organs if o.organ == "Brainstem").voxels_removed == 240
    assert next(o for o in audit(fewer, frozen).organs if o.organ == "Brainstem").voxels_added == 240


@pytest.mark.parametrize("seed", range(3))
def test_added_path_is_that_of_itks_contour_filter(seed: int) -> None:
    generator = np.random.default_rng(seed)
    before, after = (np.pad(generator.random((6, 20, 24)) < 0.7, 1) for _ in range(2))
    added = 0
    for old, new in zip(before, after, strict=True):
        contours = [sitk.GetArrayFromImage(sitk.LabelContour(sitk.GetImageFromArray(m.astype(np.uint8)))) > 0 for m in (old, new)]  # fmt: skip
        added += int((contours[1] & ~contours[0]).sum())
    geometry = Geometry(before.shape, (1.0, 1.5, 3.0))
    assert added_path_mm(before, after, geometry)[0] == pytest.approx(added * 1.25)


@pytest.mark.parametrize("grid", GRIDS)
def test_the_audit_does_not_depend_on_how_the_scan_is_stored(grid: str) -> None:
    geometry, axes, flips = GRIDS[grid]
    _, upright = scan_and_organs()
    wanted = audit(upright, edited_copy(upright))
    parts = []
    for part in (upright, edited_copy(upright)):
        labels, stored = stored_as(part.labels, geometry, axes, flips)
        parts.append(segmentation(labels, stored))
    for found, expected in zip(audit(*parts).organs, wanted.organs, strict=True):
        assert found.added_path_mm == pytest.approx(expected.added_path_mm), found.organ
        assert found.hd95_mm == pytest.approx(expected.hd95_mm), found.organ


def test_pauses_are_cut_from_the_editing_time() -> None:
    assert active_seconds([0, 5, 10, 610, 612]) == 5 + 5 + 30 + 2
    assert active_seconds([610, 0, 5]) == 35
    assert active_seconds([3.0]) == active_seconds([]) == 0


def test_the_table_names_what_changed_and_the_file_holds_every_organ(tmp_path: Path) -> None:
    _, frozen = scan_and_organs()
    result = audit(frozen, edited_copy(frozen), editor="Dr. Ärztin", active_s={"Brainstem": 12.4})
    text = text_table(result)
    assert [line.split()[0] for line in text.splitlines()] == [
        "organ",
        "Brainstem",
        "Larynx",
        "Parotid_L",
        "unchanged:",
    ]
    assert "SpinalCord, Parotid_R" in text.splitlines()[-1]
    write_audit(result, tmp_path / "audit.json")
    content = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    assert (content["editor"], content["model"], content["surface_dsc_tolerance_mm"]) == (
        "Dr. Ärztin",
        "han7-test",
        2.0,
    )
    organs = {o["organ"]: o for o in content["organs"]}
    assert organs["Parotid_L"]["hd95_mm"] is None  # infinite: JSON has no such number
    assert organs["Brainstem"]["volume_change_ml"] == pytest.approx(0.96)
    with pytest.raises(OutputError, match="exists"):
        write_audit(result, tmp_path / "audit.json")


def test_nothing_changed_is_one_line() -> None:
    _, frozen = scan_and_organs()
    assert text_table(audit(frozen, frozen)).startswith("unchanged: Brainstem")
    empty = replace(frozen, labels=np.zeros_like(frozen.labels))
    assert not any(o.changed for o in audit(empty, empty).organs)


def test_another_grid_an_unknown_organ_and_no_tolerance_are_refused() -> None:
    _, frozen = scan_and_organs()
    moved = replace(frozen, geometry=replace(frozen.geometry, origin_mm_xyz=(0.0, 0.0, 0.0)))
    with pytest.raises(InputError, match="another grid"):
        audit(frozen, moved)
    with pytest.raises(InputError, match="Editing time is given for Lens_L"):
        audit(frozen, frozen, active_s={"Lens_L": 3.0})
    with pytest.raises(InputError, match="above 0"):
        audit(frozen, frozen, tolerance_mm=0)
