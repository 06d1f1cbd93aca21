"""Details that a DICOM object tells about the making and the review of each contour."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from ..image.drawn_by import TAKEN, cautions, failures, is_merged, models_of
from ..image.segmentation import NOT_FOUND, UNCERTAIN, OrganResult, Segmentation

LEAVE_OUT, MARK = "leave-out", "mark"
NOT_LOCALIZED = "not localized"  # what a marked organ's description says
APPROVALS = ("UNAPPROVED", "APPROVED", "REJECTED")


@dataclass(frozen=True)
class ExportDetails:
    """Review and origin of the organs of a DICOM export, by organ name.

    ``states``: organ name -> draft, edited or approved; with every organ approved an RTSTRUCT is APPROVED, else ``approval`` holds.
    ``edited``: names of organs that a person changed; None: those that are not in state draft.
    ``by_hand``: names of organs that no model drew.
    ``reviewer``: who approved.
    ``not_localized``: what becomes of an organ that the model drew without being sure where it is (``OrganResult.status`` "uncertain") and
    that no person has edited or approved: LEAVE_OUT, or MARK: written, and described as "not localized".
    """

    states: Mapping[str, str] | None = None
    edited: Collection[str] | None = None
    by_hand: Collection[str] = ()
    reviewer: str = ""
    approval: str = "UNAPPROVED"
    not_localized: str = LEAVE_OUT

    def __post_init__(self) -> None:
        if self.not_localized not in (LEAVE_OUT, MARK):
            raise InputError(
                f"Not localized organs: {self.not_localized!r} is unknown; {LEAVE_OUT} or {MARK} is expected."
            )

    def state(self, result: OrganResult) -> str:
        """Return the organ's review state, "draft" where none was given."""
        return (self.states or {}).get(result.organ.name, "draft")

    def is_unsure(self, result: OrganResult) -> bool:
        """Return whether an organ is drawn without having been localized, and nobody has looked after it since."""
        return result.status == UNCERTAIN and self.state(result) == "draft"

    def is_absent(self, result: OrganResult) -> bool:
        """Return whether a person has confirmed that it is right that nothing is drawn."""
        return result.status == NOT_FOUND and self.state(result) == "approved"

    def exported(self, drawn: Sequence[OrganResult]) -> list[OrganResult]:
        """Return the organs with voxels that are to be written."""
        return [r for r in drawn if self.not_localized == MARK or not self.is_unsure(r)]

    def sentences(self, segmentation: Segmentation, left_out: Collection[str]) -> list[str]:
        """Return what a reader must know of organs that were left out or are not sure; ``left_out``: names, as the writers return them."""
        results = segmentation.results
        out = [r for r in results if r.organ.name in left_out]
        named = {
            "Left out, because empty": [r for r in out if not self.is_unsure(r) and not self.is_absent(r)],
            "Left out, because not localized with confidence": [r for r in out if self.is_unsure(r)],
            "Not localized with confidence, written all the same": [
                r for r in results if r not in out and self.is_unsure(r)
            ],
            "Confirmed absent": [r for r in results if self.is_absent(r)],
        }
        return [f"{text}: {', '.join(r.organ.name for r in found)}." for text, found in named.items() if found]

    def algorithm_type(self, organ: str, state: str) -> str:
        """Return MANUAL, SEMIAUTOMATIC or AUTOMATIC for an organ in review state ``state``, as DICOM calls how it was drawn."""
        if organ in self.by_hand:
            return "MANUAL"
        changed = state != "draft" if self.edited is None else organ in self.edited
        return "SEMIAUTOMATIC" if changed else "AUTOMATIC"


def caution_sentences(provenance: Mapping[str, Any]) -> list[str]:
    """Return what a DICOM object must say of its models."""
    if is_merged(provenance):
        return cautions(provenance)
    return [str(provenance["caution"])] if provenance.get("caution") else []


def origin_sentences(provenance: Mapping[str, Any]) -> list[str]:
    """Return which organs are from which of several models, and models that could not be used."""
    several = models_of(provenance) if is_merged(provenance) else []
    return [f"{m['model']}: {', '.join(m.get(TAKEN) or ())}." for m in several] + failures(provenance)


AS_THE_MODEL_DREW = ExportDetails()
