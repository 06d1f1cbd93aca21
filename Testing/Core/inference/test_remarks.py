"""What a result says of an organ, by its gravity: an absurd volume is an alarm, specks that were removed are a note."""

from __future__ import annotations

import json

import pytest

from focusnet.image.organ_volumes import MOST_ML, absurd_volume
from focusnet.image.organs import ORGAN_SETS, find_organ, organ_set, without_side
from focusnet.inference.results import Remarks, say_size
from focusnet.qa.reference_statistics import SHIPPED

USUAL = {"n": 160.0, "p1_ml": 9.0, "p99_ml": 54.0}
SCAN_ML = 20000.0


def said(name: str, volume_ml: float, usual_ml: dict[str, float], cut: bool = False) -> Remarks:
    organ, remarks = find_organ(name), Remarks()
    assert organ is not None
    say_size(remarks, organ, volume_ml, usual_ml, SCAN_ML, cut)
    return remarks


def test_a_parotid_of_21_litres_is_an_alarm_with_what_is_usual() -> None:
    (sentence,) = said("Parotid_L", 21000.0, USUAL).alarms
    assert sentence == (
        "Far too large for this organ: 21000 ml; 99 of 100 contours that the model learned from have 54 ml or less."
    )


@pytest.mark.parametrize(
    ("volume_ml", "alarm"), [(2.9, True), (3.1, False), (27.0, False), (107.0, False), (109.0, True)]
)
def test_the_limits_are_a_third_and_twice_what_99_of_100_have(volume_ml: float, alarm: bool) -> None:
    assert bool(said("Parotid_R", volume_ml, USUAL).alarms) == alarm


def test_an_organ_that_the_scan_cuts_may_be_small() -> None:
    cut = said("Parotid_R", 1.0, USUAL, cut=True)
    assert not cut.alarms
    assert cut.warnings == ["Reaches the first or last slice of the scan: it may continue outside."]


def test_a_cord_that_leaves_the_scan_is_worth_a_note_only() -> None:
    assert said("SpinalCord", 30.0, {}, cut=True).warnings == []
    assert len(said("SpinalCord", 30.0, {}, cut=True).notes) == 1


def test_without_statistics_the_human_body_sets_the_limit() -> None:
    few = {"n": 3.0, "p1_ml": 9.0, "p99_ml": 54.0}
    assert absurd_volume("Parotid_L", 131.0, few, SCAN_ML, False).endswith(
        "more than 130 ml is not expected of anyone."
    )
    assert not absurd_volume("Parotid_L", 129.0, few, SCAN_ML, False)
    assert absurd_volume("Tumour", 2001.0, {}, SCAN_ML, False), "an organ that no table knows: a tenth of the scan"
    assert not absurd_volume("Tumour", 1999.0, {}, SCAN_ML, False)


def test_every_organ_of_the_table_has_a_limit_far_above_real_contours() -> None:
    names = {without_side(organ.name) for name in ORGAN_SETS for organ in organ_set(name)}
    assert names <= set(MOST_ML)
    real = json.loads(SHIPPED.read_text(encoding="utf-8"))["organs"]
    for organ, row in real.items():
        assert MOST_ML[without_side(organ)] >= 1.4 * row["volume_ml"]["p99"], organ
