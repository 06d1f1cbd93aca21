"""Whether a series is whole: by what its sender says, else by silence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

LONGEST_OPEN = 10  # times the quiet time: a sender may keep an association open for the next patient
ASK_AFTER_S = 1.0  # some senders open an association for each instance


class Verdict(Enum):
    WAIT = "wait"
    ASK = "ask the sender how many there are"
    COMPLETE = "complete"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """State of a series that is coming in. ``silent_s``: since its last instance or the end of its association;
    ``asked_s``: since its sender was asked, None if it was not. ``ended``: the last association was released, not cut."""

    instances: int
    silent_s: float
    is_open: bool
    ended: bool
    expected: int | None = None
    can_ask: bool = False
    asked_s: float | None = None

    @property
    def answer_is_fresh(self) -> bool:
        return self.asked_s is not None and self.asked_s <= self.silent_s


def judge(arrival: Arrival, quiet_s: float, interrupted_s: float) -> Verdict:
    """Return what to do with a series now.

    With a count from the sender: complete as soon as that many are here, incomplete when fewer are and nothing has come for
    ``interrupted_s``. Without one: complete after ``quiet_s`` of silence; after ``interrupted_s`` when the association was cut or
    the node was stopped, since what is missing usually comes again. A truncated series is contoured then rather than lost: its
    contours lie on slices that exist, and the rest, when it comes, makes the series another one, which is contoured anew.
    """
    quiet = arrival.silent_s >= (LONGEST_OPEN * quiet_s if arrival.is_open else quiet_s)
    if arrival.is_open and not quiet:
        return Verdict.WAIT
    if arrival.can_ask and not arrival.answer_is_fresh:
        return Verdict.ASK if arrival.silent_s >= min(ASK_AFTER_S, quiet_s) else Verdict.WAIT
    if arrival.can_ask and arrival.expected is not None:
        if arrival.instances >= arrival.expected:
            return Verdict.COMPLETE
        if arrival.silent_s >= max(quiet_s, interrupted_s):
            return Verdict.INCOMPLETE
        return Verdict.ASK if (arrival.asked_s or 0.0) >= quiet_s else Verdict.WAIT
    patience_s = quiet_s if arrival.ended else max(quiet_s, interrupted_s)
    return Verdict.COMPLETE if quiet and arrival.silent_s >= patience_s else Verdict.WAIT
