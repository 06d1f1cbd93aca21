"""What ``focusnet finetune`` may be asked for. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass

OLD_ANSWERS = "old-answers"  # folder of a run with the old model's answers


@dataclass(frozen=True)
class TuneOptions:
    """``mix_old_answers``: the old model's answers stand where a case was not corrected.

    ``name``: of the new bundle; "" for the old one's, of which it is then a new version.
    """

    name: str = ""
    mix_old_answers: bool = True
