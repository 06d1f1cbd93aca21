"""What a DICOM object tells about the making and the review of each contour."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

APPROVALS = ("UNAPPROVED", "APPROVED", "REJECTED")


@dataclass(frozen=True)
class ExportDetails:
    """Review and origin of the organs of a DICOM export, by organ name.

    ``states``: organ name -> draft, edited or approved; with every organ approved an RTSTRUCT is APPROVED, else ``approval`` holds.
    ``edited``: names of organs that a person changed; None: those that are not in state draft.
    ``by_hand``: names of organs that no model drew.
    ``reviewer``: who approved.
    """

    states: Mapping[str, str] | None = None
    edited: Collection[str] | None = None
    by_hand: Collection[str] = ()
    reviewer: str = ""
    approval: str = "UNAPPROVED"

    def algorithm_type(self, organ: str, state: str) -> str:
        """Return MANUAL, SEMIAUTOMATIC or AUTOMATIC for an organ in review state ``state``, as DICOM calls how it was drawn."""
        if organ in self.by_hand:
            return "MANUAL"
        changed = state != "draft" if self.edited is None else organ in self.edited
        return "SEMIAUTOMATIC" if changed else "AUTOMATIC"


AS_THE_MODEL_DREW = ExportDetails()
