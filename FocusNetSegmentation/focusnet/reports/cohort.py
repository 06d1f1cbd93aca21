"""Collect what the JSON files of a folder say about many cases: reports of runs, scores, edit audits."""

from __future__ import annotations

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..image.segmentation import FOUND, NOT_FOUND, status_of
from ..wording import counted

KINDS = ("report", "qa", "audit")
KIND_ENDING = re.compile(r"[._-]?(report|qa|audit|review|scores)$", re.IGNORECASE)
EDIT_KEYS = ("changed", "added_path_mm", "dsc", "active_s")  # of an audit's entry: what the page shows
MODEL_KEYS = {"model": "name", "model_version": "version", "bundle_sha256": "sha256"}


@dataclass(slots=True)
class CohortCase:
    """One case. ``volumes_ml``, ``scores`` (1 is the limit), ``look_at`` and ``edits`` (an audit's entry) are by organ. ``cautions``: what must be said of
    the models."""

    name: str
    created: str = ""
    model: dict[str, str] = field(default_factory=dict)
    volumes_ml: dict[str, float] = field(default_factory=dict)
    not_found: list[str] = field(default_factory=list)
    uncertain: list[str] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)
    look_at: list[str] = field(default_factory=list)
    edits: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    scored_by: dict[str, str] = field(default_factory=dict)
    editor: str = ""
    kinds: set[str] = field(default_factory=set)
    cautions: tuple[str, ...] = ()

    @property
    def added_path_mm(self) -> float | None:
        """Return the length of contour that was drawn anew, in mm, over all organs; None without an audit."""
        return sum(_number(e.get("added_path_mm")) or 0.0 for e in self.edits.values()) if self.edits else None

    @property
    def edited(self) -> list[str]:
        """Return the organs that were changed."""
        return [name for name, edit in self.edits.items() if edit.get("changed")]


@dataclass(frozen=True)
class Cohort:
    """Many cases.

    ``cases``: in the order in which they were made. ``notes``: files that could not be used, and models that differ.
    """

    cases: tuple[CohortCase, ...]
    notes: tuple[str, ...]
    usual_model: Mapping[str, str]

    def odd_model(self, case: CohortCase) -> bool:
        """Return whether the case was made by another model than most cases."""
        return models_differ(case.model, self.usual_model)


def read_cohort(folder: Path) -> Cohort:
    """Read every JSON file below ``folder`` that FocusNet wrote; damaged and other files are named in the notes.

    Raises InputError if there is none.
    """
    cases: dict[str, CohortCase] = {}
    notes: list[str] = []
    strange: list[str] = []
    for path in sorted(folder.rglob("*.json")):
        if path.name.lower().endswith(".labels.json") or any(p.startswith(".") for p in path.relative_to(folder).parts):
            continue
        name = path.relative_to(folder).as_posix()
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as problem:
            notes.append(f"{name} cannot be read ({' '.join(str(problem).split())}); it was left out.")
            continue
        entries = list(_entries(content, case_name(path, folder)))
        if not entries:
            strange.append(name)
        for kind, case, entry in entries:
            known = cases.setdefault(case, CohortCase(case))
            if kind in known.kinds:
                notes.append(f"{name}: there is another {kind} of {case}; this one was left out.")
                continue
            known.kinds.add(kind)
            {"report": _add_report, "qa": _add_qa, "audit": _add_audit}[kind](known, entry)
    if strange:
        shown = ", ".join(strange[:3]) + (" ..." if len(strange) > 3 else "")
        notes.append(f"{len(strange)} JSON files are no reports of FocusNet and were passed over: {shown}")
    if not cases:
        raise InputError(
            f"{folder} holds no report; JSON of 'focusnet batch', 'segment --report R.json', 'qa -o' or 'evaluate --audit -o' is expected."
        )
    ordered = tuple(sorted(cases.values(), key=lambda c: (c.created or "9999", c.name)))
    usual = usual_model(ordered)
    return Cohort(ordered, (*_cautions(ordered), *_model_notes(ordered, usual), *notes), usual)


def case_name(path: Path, folder: Path) -> str:
    """Return a file's case: ``out/pt_1.qa.json`` and ``out/pt_1/qa.json`` give pt_1, as the files of one case share its name."""
    relative = path.relative_to(folder).with_suffix("")
    stem = KIND_ENDING.sub("", relative.name)
    parts = (*relative.parts[:-1], stem) if stem else relative.parts[:-1]
    return "/".join(parts) or folder.resolve().name


def usual_model(cases: Iterable[CohortCase]) -> dict[str, str]:
    """Return the model of most cases."""
    counts = Counter(tuple(sorted(case.model.items())) for case in cases if case.model)
    return dict(counts.most_common(1)[0][0]) if counts else {}


def models_differ(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Return whether two descriptions of a model disagree in a key that both have."""
    return any(one[key] != other[key] for key in one.keys() & other.keys())


def model_name(model: Mapping[str, str]) -> str:
    """Return a model's name, version and the first digits of its hash."""
    parts = [model.get("model", "a model"), model.get("model_version", "")]
    sha = model.get("bundle_sha256", "")
    return " ".join(part for part in (*parts, f"({sha[:8]})" if sha else "") if part)


def _cautions(cases: Iterable[CohortCase]) -> list[str]:
    """Return what must be said of the models, with the number of cases that it holds for."""
    counts = Counter(text for case in cases for text in case.cautions)
    return [f"{counted(count, 'case')}: {text}" for text, count in counts.items()]


def _model_notes(cases: Iterable[CohortCase], usual: Mapping[str, str]) -> list[str]:
    notes = []
    for case in cases:
        if models_differ(case.model, usual):
            notes.append(
                f"{case.name} was made by {model_name(case.model)}, most cases by {model_name(usual)}: compare them with care."
            )
        if models_differ(case.scored_by, case.model):
            notes.append(
                f"{case.name} was scored for contours of {model_name(case.scored_by)}, but made by {model_name(case.model)}."
            )
    return notes


def _entries(content: Any, name: str) -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    """Yield (kind, case, entry) of everything in one file that is recognised."""
    if not isinstance(content, dict):
        return
    if isinstance(content.get("cases"), list):
        folder = name[: name.rfind("/") + 1]
        for number, entry in enumerate(content["cases"], start=1):
            case = entry.get("case") if isinstance(entry, dict) else None
            yield from _entries(entry, f"{folder}{case}" if case else f"{name} {number}")
        return
    organs = content.get("organs")
    if not isinstance(organs, list) or not organs or not all(isinstance(o, dict) for o in organs):
        return
    if "surface_dsc_tolerance_mm" in content and all("organ" in o for o in organs):
        yield "audit", name, content
    elif all("state_hint" in o and "organ" in o for o in organs):
        yield "qa", name, content
    elif "grid" in content and all("name" in o for o in organs):
        yield "report", name, content


def _add_report(case: CohortCase, content: Mapping[str, Any]) -> None:
    case.created = str(content.get("created") or "")
    case.model = _model(content.get("model"))
    told = content.get("cautions")
    case.cautions = tuple(sys.intern(str(text)) for text in told) if isinstance(told, list) else ()
    for organ in content["organs"]:
        name = sys.intern(str(organ["name"]))  # ten thousand cases name the same few organs
        volume = _number(organ.get("volume_ml")) or 0.0
        status = status_of(bool(organ.get("found", True)), volume)
        if volume:
            case.volumes_ml[name] = volume
        if status != FOUND:
            (case.not_found if status == NOT_FOUND else case.uncertain).append(name)


def _add_qa(case: CohortCase, content: Mapping[str, Any]) -> None:
    case.scored_by = _model(content.get("model"))
    for organ in content["organs"]:
        score = _number(organ.get("score"))
        if score is not None:
            case.scores[sys.intern(str(organ["organ"]))] = score
        if organ["state_hint"] == "look at":
            case.look_at.append(sys.intern(str(organ["organ"])))


def _add_audit(case: CohortCase, content: Mapping[str, Any]) -> None:
    case.editor = str(content.get("editor") or "")
    case.edits = {
        sys.intern(str(organ["organ"])): {key: organ[key] for key in EDIT_KEYS if key in organ}
        for organ in content["organs"]
    }


def _model(value: Any) -> dict[str, str]:
    known = value if isinstance(value, dict) else {}
    return {key: str(known[name]) for key, name in MODEL_KEYS.items() if known.get(name)}


def _number(value: Any) -> float | None:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None
