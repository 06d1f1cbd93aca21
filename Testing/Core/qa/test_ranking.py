"""The review puts what is wrong at the top, says why in words, and says what it cannot judge."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from focusnet.cli.main import main
from focusnet.errors import InputError
from focusnet.image.segmentation import OrganResult
from focusnet.image.volume import Volume
from focusnet.io.label_map import unknown_organ
from focusnet.io.seg_nrrd import write_seg_nrrd
from focusnet.phantom.write import write_phantom
from focusnet.qa import Ranking, as_dict, text_table
from focusnet.qa.organ_scores import LOOK_AT, NO_SIGN, NOT_JUDGED
from focusnet.qa.ranking import rank_organs

from ..helpers_outputs import GRIDS, scan_and_organs, segmentation, stored_as
from ..helpers_qa import far_blob, label_of, missing_slices, phantom_case, swapped, with_labels


def reasons(result: Ranking, organ: str) -> str:
    return " ".join(result.organ(organ).reasons)


@pytest.fixture(scope="module")
def planted() -> Ranking:
    volume, reference = phantom_case()
    wrong = far_blob(swapped(missing_slices(reference, "Parotid_R"), "Eye_L", "Eye_R"), "Brainstem")
    return rank_organs(wrong, volume)


def test_three_planted_errors_are_the_top_three_of_the_list(planted: Ranking) -> None:
    top = [o for o in planted.organs if o.rank <= 4]
    assert {o.organ.name for o in top} == {"Eye_L", "Eye_R", "Brainstem", "Parotid_R"}
    assert len({o.rank for o in top}) == 3  # swapped sides are one finding
    assert all(o.group == LOOK_AT for o in top)


def test_each_planted_error_is_named_first_among_its_organs_reasons(planted: Ranking) -> None:
    assert planted.organ("Eye_L").reasons[0].startswith("Left and right are swapped: Eye_L lies")
    assert planted.organ("Eye_R").scores[0].id == "sides"
    assert planted.organ("Brainstem").scores[0].id == "parts"
    assert "2 separate parts: one of 6.14 ml lies" in planted.organ("Brainstem").reasons[0]
    assert planted.organ("Parotid_R").scores[0].id == "slice_gaps"
    assert "3 slices are missing inside it" in planted.organ("Parotid_R").reasons[0]


def test_the_place_to_look_at_is_the_error_and_not_the_organ(planted: Ranking) -> None:
    _, reference = phantom_case()
    blob = planted.organ("Brainstem").scores[0].where_mm_xyz
    wanted = reference.geometry.index_to_mm(np.array([7.5, 11.5, 11.5]))
    assert np.allclose(blob, wanted, atol=0.1)


def test_the_result_does_not_depend_on_how_the_scan_is_stored() -> None:
    geometry, axes, flips = GRIDS["oblique and flipped"]
    geometry = replace(geometry, direction_xyz=GRIDS["upright"][0].direction_xyz)
    volume, upright = scan_and_organs("upright")
    labels, grid = stored_as(upright.labels, upright.geometry, axes, flips)
    hu, _ = stored_as(volume.array, volume.geometry, axes, flips)
    first = rank_organs(upright, volume)
    again = rank_organs(segmentation(labels, grid), Volume(hu, grid))
    assert as_dict(first)["organs"] == as_dict(again)["organs"]


def test_a_scan_whose_left_and_right_are_mirrored_is_noticed() -> None:
    volume, reference = phantom_case()
    mirrored = with_labels(reference, np.ascontiguousarray(reference.labels[:, :, ::-1]))
    result = rank_organs(mirrored, replace(volume, array=np.ascontiguousarray(volume.array[:, :, ::-1])))
    assert "swapped" in reasons(result, "Parotid_L")
    assert "swapped" in reasons(result, "Parotid_R")


def test_an_empty_segment_is_to_be_looked_at_and_says_that_it_is_empty() -> None:
    volume, reference = scan_and_organs()
    entry = rank_organs(reference, volume).organ("Larynx")
    assert entry.group == LOOK_AT
    assert entry.volume_ml == 0
    assert entry.reasons[0].startswith("Empty: no voxel of it is there")


def test_an_organ_without_statistics_is_not_called_fine() -> None:
    volume, reference = scan_and_organs()
    stranger = OrganResult(organ=unknown_organ("GTV"), label=9, found=True, volume_ml=1.0)
    labels = reference.labels.copy()
    labels[12:16, 10:14, 20:24] = 9
    result = rank_organs(replace(reference, labels=labels, results=(*reference.results, stranger)), volume)
    entry = result.organ("GTV")
    assert (entry.group, entry.severity) == (NOT_JUDGED, None)
    assert "No statistics for this organ" in entry.reasons[0]
    volume_score = next(s for s in entry.scores if s.id == "volume")
    assert not volume_score.applies
    assert "no statistics for this organ" in volume_score.reason


def test_without_a_ct_the_hu_are_said_not_to_have_been_looked_at() -> None:
    _, reference = scan_and_organs()
    result = rank_organs(reference)
    assert any("No CT" in note for note in result.notes)
    hu = next(s for s in result.organ("Brainstem").scores if s.id == "hu")
    assert not hu.applies
    assert "needs the CT" in hu.reason


def test_an_organ_filled_with_air_is_told_from_its_hu() -> None:
    volume, reference = scan_and_organs()
    array = volume.array.copy()
    array[reference.labels == label_of(reference, "Brainstem")] = -900
    entry = rank_organs(reference, replace(volume, array=array)).organ("Brainstem")
    hu = next(s for s in entry.scores if s.id == "hu")
    assert hu.flagged
    assert "100 % of its voxels lie outside" in hu.reason


def test_another_grid_than_the_cts_is_refused_in_one_line() -> None:
    volume, reference = scan_and_organs()
    shifted = replace(reference.geometry, origin_mm_xyz=(0.0, 0.0, 0.0))
    with pytest.raises(InputError, match=r"lies on another grid \(.* voxels of .* mm from .*\) than the CT"):
        rank_organs(replace(reference, geometry=shifted), volume)


def test_every_reference_organ_has_a_rank_a_reason_and_a_group_in_the_json() -> None:
    volume, reference = phantom_case()
    data = json.loads(json.dumps(as_dict(rank_organs(reference, volume))))
    assert [o["rank"] for o in data["organs"]] == sorted(o["rank"] for o in data["organs"])
    for organ in data["organs"]:
        assert set(organ) == {
            "organ", "title", "label", "rank", "state_hint", "score", "reasons", "volume_ml", "center_mm_lps", "scores",
            "predicted_dsc", "caution",
        }  # fmt: skip
        assert organ["state_hint"] in (LOOK_AT, NO_SIGN, NOT_JUDGED)
        assert organ["reasons"]
        for score in organ["scores"]:
            assert score["reason"].endswith(".")
            assert score["applies"] == (score["severity"] is not None)


def test_the_command_prints_the_list_and_writes_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, reference = scan_and_organs()
    write_seg_nrrd(reference, tmp_path / "organs.seg.nrrd")
    arguments = ["qa", str(tmp_path / "organs.seg.nrrd"), "-o", str(tmp_path / "qa.json")]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "look at:" in printed
    assert "not verdicts" in printed
    assert json.loads((tmp_path / "qa.json").read_text())["schema_version"] == 1
    assert main(arguments) == 2  # the file exists
    assert "exists" in capsys.readouterr().err


def test_the_command_refuses_a_ct_of_another_grid_with_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ct = write_phantom(tmp_path, spacing_mm_xyz=(4.0, 4.0, 6.0))[0]
    _, reference = scan_and_organs()
    write_seg_nrrd(reference, tmp_path / "organs.seg.nrrd")
    assert main(["qa", str(tmp_path / "organs.seg.nrrd"), "--ct", str(ct), "-o", str(tmp_path / "qa.json")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "another grid" in error
    assert not (tmp_path / "qa.json").exists()


def test_the_list_reads_worst_first(planted: Ranking) -> None:
    lines = text_table(planted).splitlines()
    assert lines[0] == "look at:"
    assert lines[1].split()[:2] in (["1", "Eye_L"], ["1", "Eye_R"], ["1", "Brainstem"])
