"""Organs get their scores while ``focusnet qa`` still works on the others."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from FocusNetSegmentationLib.process.worker import SubprocessProcess
from FocusNetSegmentationLib.review import scoring as review_scoring
from FocusNetSegmentationLib.review.scoring import PAUSE_S, ScoresSoFar, Scoring, ScoringResult

from ...Core.helpers_outputs import NAMES
from ..helpers_review import SCORED


def line(event: str, **values: Any) -> str:
    return json.dumps({"event": event, **values})


def test_scores_come_in_lists_and_not_one_by_one_but_before_a_slow_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each list that is drawn costs the window time."""
    clock = [0.0]
    monkeypatch.setattr(review_scoring.time, "monotonic", lambda: clock[0])
    so_far = ScoresSoFar()
    first, second, third, fourth, _fifth = SCORED["organs"]
    assert so_far.hear(line("progress", step="Scoring", fraction=0.1, message="")) is None, "nothing to tell yet"
    assert list(so_far.hear(line("organ", **third)).organs) == ["Larynx"]
    assert so_far.hear(line("organ", **second)) is None, "too soon"
    told = so_far.hear(line("progress", step="Comparing shapes", fraction=0.5, message="Lens_L"))
    assert list(told.organs) == ["Brainstem", "Larynx"], "the worst first"
    clock[0] += PAUSE_S
    assert list(so_far.hear(line("organ", **first)).organs) == ["Parotid_L", "Brainstem", "Larynx"]
    assert so_far.hear("no JSON {") is None
    assert so_far.hear("{broken") is None
    assert so_far.hear(line("organ", **fourth)) is None, "too soon again"


QA = """
import json, sys, time
from pathlib import Path
scored = json.loads(sys.argv[1])
for entry in scored["organs"][:2]:
    print(json.dumps({"event": "organ", **entry}), file=sys.stderr, flush=True)
    time.sleep(0.5)
while not Path(sys.argv[3]).exists():
    time.sleep(0.05)
Path(sys.argv[2]).write_text(json.dumps(scored))
"""


def test_the_review_has_the_first_scores_while_the_process_still_runs(
    world: Any, case: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, review = case
    go_on, some, ends = tmp_path / "go on", [], []

    def qa(*arguments: str) -> tuple[str, list[str], dict[str, str]]:
        out = arguments[arguments.index("-o") + 1]
        return sys.executable, ["-c", QA, json.dumps(SCORED), out, str(go_on)], {}

    monkeypatch.setattr(review_scoring, "focusnet_arguments", qa)

    def add(result: ScoringResult) -> None:
        some.append(result)
        assert result.scores is not None
        review.add_scores(result.scores, result.fingerprints)

    scoring = Scoring(ends.append, SubprocessProcess(), add)
    ct = node.GetScene().GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
    scoring.start(node, ct, review.current_fingerprints())
    for _ in range(200):
        scoring.command.wait(0.1)
        if len(some) == 2:
            break
    rows = {row.organ: row for row in review.rows()}
    assert rows["Parotid_L"].score == 0.97
    assert rows["Brainstem"].score == 0.93
    assert rows["SpinalCord"].score is None, "not yet"
    order = list(rows)
    assert order.index("Parotid_L") < order.index("Brainstem") < order.index("SpinalCord"), (
        "the list is in order already"
    )
    assert ends == []
    assert scoring.is_running
    go_on.touch()
    while scoring.is_running:
        scoring.command.wait(0.1)
    (ended,) = ends
    assert set(ended.scores.organs) == set(NAMES)
    review.set_scores(ended.scores, ended.fingerprints)
    assert {row.organ: row.score for row in review.rows()}["SpinalCord"] == 0.4
