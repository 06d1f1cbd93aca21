"""When a series counts as whole."""

from __future__ import annotations

import pytest

from focusnet.node.completeness import Arrival, Verdict, judge

QUIET_S, INTERRUPTED_S = 30.0, 300.0


def verdict(**known: object) -> Verdict:
    values: dict[str, object] = {"instances": 100, "silent_s": 0.0, "is_open": False, "ended": True}
    return judge(Arrival(**{**values, **known}), QUIET_S, INTERRUPTED_S)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("silent_s", "ended", "expected"),
    [
        (29, True, Verdict.WAIT),
        (30, True, Verdict.COMPLETE),
        (30, False, Verdict.WAIT),  # cut: the rest usually comes again
        (299, False, Verdict.WAIT),
        (300, False, Verdict.COMPLETE),
    ],
)
def test_silence_decides_where_nobody_can_be_asked(silent_s: float, ended: bool, expected: Verdict) -> None:
    assert verdict(silent_s=silent_s, ended=ended) is expected


def test_an_open_association_is_waited_for_but_not_for_ever() -> None:
    assert verdict(silent_s=299, is_open=True, ended=True) is Verdict.WAIT
    assert verdict(silent_s=300, is_open=True, ended=True) is Verdict.COMPLETE


def test_the_sender_is_asked_once_its_association_is_over_and_its_count_decides() -> None:
    assert verdict(silent_s=0.5, can_ask=True) is Verdict.WAIT  # the next association may bring the next slice
    assert verdict(silent_s=1, can_ask=True) is Verdict.ASK
    assert verdict(silent_s=2, can_ask=True, asked_s=0.5, expected=100) is Verdict.COMPLETE
    assert verdict(silent_s=2, can_ask=True, asked_s=0.5, expected=120) is Verdict.WAIT
    assert verdict(silent_s=40, can_ask=True, asked_s=31, expected=120) is Verdict.ASK
    assert verdict(silent_s=300, can_ask=True, asked_s=1, expected=120) is Verdict.INCOMPLETE


def test_an_answer_from_before_the_last_instance_counts_for_nothing() -> None:
    assert verdict(silent_s=2, can_ask=True, asked_s=5, expected=100) is Verdict.ASK


def test_a_count_that_is_reached_completes_a_series_whose_association_was_cut() -> None:
    assert verdict(silent_s=2, ended=False, can_ask=True, asked_s=0.5, expected=100) is Verdict.COMPLETE


def test_a_sender_that_does_not_answer_leaves_silence_to_decide() -> None:
    assert verdict(silent_s=20, can_ask=True, asked_s=18, expected=None) is Verdict.WAIT
    assert verdict(silent_s=30, can_ask=True, asked_s=28, expected=None) is Verdict.COMPLETE
