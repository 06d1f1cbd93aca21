"""A small case as the report's page wants it, and what a page's HTML holds."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np

from focusnet.image.segmentation import Segmentation
from focusnet.qa.audit import audit
from focusnet.reports.case_page import CaseReport

from .helpers_outputs import scan_and_organs

ATTACK = '<script>document.title="owned"</script><img src=x onerror=alert(1)>'


class Page(HTMLParser):
    """Every tag with its attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {key: value or "" for key, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, css_class: str = "") -> list[dict[str, str]]:
        return [a for name, a in self.tags if name == tag and css_class in a.get("class", "")]


def edited(frozen: Segmentation) -> Segmentation:
    """The brainstem longer at the back, the left parotid deleted."""
    labels = frozen.labels.copy()
    labels[18:26, 24, 17:23] = 1
    labels[labels == 4] = 0
    return replace(frozen, labels=labels)


def scores(*look_at: str, reason: str = "Larger than 99 of 100 of its kind.", **model: str) -> dict[str, Any]:
    """As ``focusnet qa -o`` writes them, as far as the page reads."""
    names = [
        *look_at,
        *(n for n in ("Brainstem", "SpinalCord", "Parotid_R", "Parotid_L", "Larynx") if n not in look_at),
    ]
    organs = [
        {
            "organ": name,
            "rank": rank,
            "state_hint": "look at" if name in look_at else "no sign of a mistake",
            "score": 2.5 if name in look_at else 0.3,
            "reasons": [reason if name in look_at else "Nothing odd was found."],
        }
        for rank, name in enumerate(names, start=1)
    ]
    known = {"name": "han7-test", "version": "1.2", "sha256": "ab" * 32}
    return {
        "schema_version": 1,
        "disclaimer": "Scores are hints.",
        "model": {**known, **model},
        "notes": [],
        "organs": organs,
    }


def case(**changes: Any) -> CaseReport:
    """An edited case with scores, the model's copy and a shape prior of the right parotid."""
    volume, frozen = scan_and_organs()
    after = edited(frozen)
    shape_prior = np.where(np.roll(frozen.labels, 1, axis=2) == 3, 3, 0).astype(np.uint8)
    report = CaseReport(
        volume,
        after,
        scores("Parotid_R", "Parotid_L"),
        frozen,
        replace(frozen, labels=shape_prior),
        audit(frozen, after, editor="Dr. Who"),
    )
    return replace(report, **changes)
