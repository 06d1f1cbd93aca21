"""Which received series is contoured, by which model, and where its contours go."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

OUTPUTS = ("rtstruct", "seg")
DEFAULT_MODEL = "han7-openkbp"


@dataclass(frozen=True, kw_only=True)
class SeriesFacts:
    """The attributes that rules look at, from the header of a series' first slice. ``slice_thickness_mm``: None where the header does not say."""

    sender: str
    modality: str
    description: str
    body_part: str
    slice_thickness_mm: float | None


@dataclass(frozen=True, kw_only=True)
class Rule:
    """``description`` and ``body_part``: regular expressions that are searched for, upper and lower case alike; "" fits all.

    ``senders``: calling AE titles, empty for all. ``to``: names of destinations.
    """

    name: str
    to: tuple[str, ...]
    modality: str = "CT"
    description: str = ""
    body_part: str = ""
    slice_thickness_mm: tuple[float, float] | None = None
    senders: tuple[str, ...] = ()
    model: str = DEFAULT_MODEL
    organs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ("rtstruct",)

    def why_not(self, facts: SeriesFacts) -> str:
        """Return what does not fit, in a few words; "" if the rule fits. The description is not repeated: it may name a patient."""
        if facts.modality != self.modality:
            return f"modality {facts.modality or 'unknown'}, {self.modality} expected"
        if self.senders and facts.sender not in self.senders:
            return f"sent by {facts.sender}"
        if not re.search(self.description, facts.description, re.IGNORECASE):
            return "another description"
        if not re.search(self.body_part, facts.body_part, re.IGNORECASE):
            return "another body part"
        if self.slice_thickness_mm is not None:
            low, high = self.slice_thickness_mm
            if facts.slice_thickness_mm is None:
                return "no slice thickness"
            if not low <= facts.slice_thickness_mm <= high:
                return f"slices of {facts.slice_thickness_mm:g} mm, {low:g} to {high:g} expected"
        return ""


def choose_rule(rules: Sequence[Rule], facts: SeriesFacts) -> tuple[Rule | None, str]:
    """Return the first rule that fits, or None and why none of them does."""
    reasons = []
    for rule in rules:
        reason = rule.why_not(facts)
        if not reason:
            return rule, ""
        reasons.append(f"{rule.name}: {reason}")
    return None, f"no rule fits ({'; '.join(reasons)})"
