"""Panel on stand-ins: seeds, from which one organ is run again. Not "tested in Slicer": see stand_ins.py."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ...paths import ROOT
from ..helpers_panel_review import ORGANS, choose, paint, states


def test_seeds_are_for_models_with_sos_nets_and_others_say_why(reviewed: Any) -> None:
    choose(reviewed, "Larynx")
    manifest = reviewed.panel.models.entry.manifest
    manifest["network"]["has_sos"] = False
    reviewed.panel.review.fill()
    assert not reviewed.ui.seedButton.enabled
    assert "has no SOS-Nets" in reviewed.ui.seedButton.toolTip


def test_a_seed_is_dragged_and_that_organ_alone_is_run_again(reviewed: Any) -> None:
    from FocusNetSegmentationLib.review.seed_points import seed_of

    reviewed.panel.models.entry.manifest["network"].update(has_sos=True, small_organs=["Larynx"])
    choose(reviewed, "Brainstem")
    paint(reviewed, "Brainstem")
    choose(reviewed, "Larynx")
    assert not reviewed.ui.runSeedButton.enabled, "where from is not known yet"
    reviewed.ui.seedButton.click()
    seed = seed_of(reviewed.parameters.resultSegmentation, "Larynx")
    assert seed.GetDisplayNode().GetVisibility()
    seed.SetNthControlPointPositionWorld(0, 10.0, 20.0, 30.0)
    asked = []
    process = reviewed.panel.logic.process
    reviewed.panel.logic.process = lambda *args, **options: asked.append(options) or process(*args, **options)
    reviewed.ui.runSeedButton.click()
    reviewed.until(lambda: not reviewed.panel.runs.is_running)
    reviewed.settle()
    assert asked[0]["organs"] == ["Larynx"]
    assert asked[0]["seeds"] == {"Larynx": (-10.0, -20.0, 30.0)}
    assert states(reviewed) == {**dict.fromkeys(ORGANS, "draft"), "Brainstem": "edited"}
    choose(reviewed, "Brainstem")
    assert not seed.GetDisplayNode().GetVisibility()


@pytest.mark.slow
def test_the_whole_way_of_a_seed_with_the_real_worker(open_panel: Any, tmp_path: Path) -> None:
    """Apply, drag the seed, run again: real networks (random weights) in the real worker draw that organ where the person said."""
    from ..helpers_worker import worker_python

    python = worker_python()
    make = (
        "from pathlib import Path; import sys; from Testing.Core.helpers_engine import random_bundle, small_config;"
        "random_bundle(Path(sys.argv[1]), small_config(has_sos=True, location_threshold=1.01), seed=6)"
    )
    subprocess.run([python, "-c", make, str(tmp_path / "models")], check=True, cwd=ROOT)
    panel = open_panel(python=python)
    panel.volume()
    panel.parameters.model = "random"
    panel.settle()
    panel.ui.applyButton.click()
    panel.until(lambda: not panel.panel.runs.is_running, 240)
    panel.settle()
    panel.ui.reviewCollapsibleButton.collapsed = False
    panel.until(lambda: not panel.panel.review.scoring.is_running, 120)
    review = panel.panel.review.review
    before = review.current_fingerprints()
    choose(panel, "Larynx")
    panel.ui.seedButton.click()
    from focusnet.image.volume import box_corners
    from FocusNetSegmentationLib.review.seed_points import seed_of
    from FocusNetSegmentationLib.review.segment_voxels import own_grid, segment_box

    seed = seed_of(panel.parameters.resultSegmentation, "Larynx")
    place = np.array([0.0, -20.0, -30.0])
    seed.SetNthControlPointPositionWorld(0, *(float(v) for v in place))
    panel.ui.runSeedButton.click()
    panel.until(lambda: not panel.panel.runs.is_running, 240)
    panel.settle()
    drawn = (panel.parameters.resultSegmentation, review.segments()["Larynx"])
    box = segment_box(*drawn)
    assert box is not None
    corners = np.c_[box_corners(box[0] - 0.5, box[1] + 0.5), np.ones(8)] @ own_grid(*drawn).T
    low, high = corners[:, :3].min(axis=0), corners[:, :3].max(axis=0)
    half_roi_mm = np.array([48.0, 48.0, 24.0]) + 12.0
    assert ((low > place - half_roi_mm) & (high < place + half_roi_mm)).all()
    after = review.current_fingerprints()
    assert not after["Larynx"].same_as(before["Larynx"])
    assert all(after[name].same_as(before[name]) for name in after if name != "Larynx")
    said = next(row for row in review.rows() if row.organ == "Larynx")
    assert said.state == "draft"
