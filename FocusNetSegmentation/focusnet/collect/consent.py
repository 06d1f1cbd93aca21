"""The consent that is asked once per folder, before the first case is copied into it."""

from __future__ import annotations

from datetime import date
from typing import Any

TERMINAL, OPTION, PANEL = "terminal", "option", "panel"  # how it was asked
TEXT = (
    "Every case that is added puts a copy of its CT, of the approved contours and of the model's own result into this folder. Names, numbers, "
    "birth dates, study dates and UIDs are left out and the patient becomes a pseudonym. A face can still be made out in a CT of the head: "
    "the folder holds patients' data. Keep it where your hospital's rules allow, and hand it on only with permission."
)
QUESTION = "May copies of patients' scans be kept there?"


def consent_record(asked: str) -> dict[str, Any]:
    """Return what the folder keeps of a consent that was given now. ``asked``: TERMINAL, OPTION or PANEL."""
    return {"text": TEXT, "date": date.today().isoformat(), "asked": asked}
