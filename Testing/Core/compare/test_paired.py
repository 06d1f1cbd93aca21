"""Better, worse or not to tell: what paired differences say, and when they say nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from focusnet.compare.paired import FEWEST_PATIENTS, difference

OLD = [0.70, 0.80, 0.75, 0.60, 0.90, 0.85, 0.72, 0.78]
PATIENTS = [f"pt_{n}" for n in range(len(OLD))]


def moved(by: list[float]) -> list[float]:
    return [old + b for old, b in zip(OLD, by, strict=True)]


def test_what_all_patients_gain_is_better_and_the_other_way_round_worse() -> None:
    gain = [0.02, 0.05, 0.03, 0.04, 0.01, 0.02, 0.06, 0.03]
    found = difference(OLD, moved(gain), PATIENTS)
    assert found.verdict() == "better"
    assert found.mean == pytest.approx(np.mean(gain))
    assert found.low < found.mean < found.high
    assert found.p == pytest.approx(2 / 2**8)
    assert difference(moved(gain), OLD, PATIENTS).verdict() == "worse"
    assert found.verdict(higher_is_better=False) == "worse"  # of a length that is left to draw
    assert found.why() == f"between {found.low:+.3f} and {found.high:+.3f}, 8 patients"


def test_what_goes_either_way_is_not_to_tell() -> None:
    assert (
        difference(OLD, moved([0.05, -0.05, 0.02, -0.03, 0.01, -0.01, 0.04, -0.02]), PATIENTS).verdict()
        == "not to tell"
    )
    assert difference(OLD, OLD, PATIENTS).verdict() == "not to tell"


def test_a_few_patients_prove_nothing_however_much_they_gain() -> None:
    few = FEWEST_PATIENTS - 1
    found = difference(OLD[:few], moved([0.2] * 8)[:few], PATIENTS[:few])
    assert found.verdict() == "not to tell"
    assert math.isnan(found.p)
    assert found.why() == "5 patients; fewer than 6 can prove nothing"
    gains = [0.2, 0.21, 0.22, 0.23, 0.24, 0.25]
    assert difference(OLD[:6], [o + g for o, g in zip(OLD, gains, strict=False)], PATIENTS[:6]).verdict() == "better"


def test_cases_of_one_patient_count_as_one() -> None:
    found = difference(OLD, moved([0.2] * 8), ["same"] * 4 + PATIENTS[4:])
    assert found.patients == 5
    assert found.verdict() == "not to tell"
    assert found.old == pytest.approx(np.mean([np.mean(OLD[:4]), *OLD[4:]]))
