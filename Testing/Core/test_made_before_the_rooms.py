"""A bundle, a run folder and a .seg.nrrd that were made before the modules moved into rooms are read after it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from focusnet.cli.main import main
from focusnet.image.segmentation import OrganResult
from focusnet.io.read import read_segmentation
from focusnet.nets.bundle import load_bundle
from focusnet.train.setup.run_manifest import read_manifest

from .helpers_engine import head
from .helpers_outputs import MISSING, NAMES, PROVENANCE, scan_and_organs

MADE_BEFORE = Path(__file__).parents[1] / "Fixtures" / "before-rooms"


def test_a_bundle_made_before_loads_and_segments() -> None:
    from focusnet.inference.segment import segment

    bundle = load_bundle(MADE_BEFORE / "bundle")
    result = segment(head((24, 36, 32), (6.0, 6.0, 6.0)), bundle, device="cpu", precision="fp32")
    assert [r.organ.name for r in result.results] == list(bundle.config.organs)
    assert result.provenance["model"] == "bundle"


def test_a_run_folder_made_before_says_how_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--status", str(MADE_BEFORE / "run")]) == 0
    told = capsys.readouterr().out
    assert "preset paper, 3 training cases" in told
    assert "snet   done    step 6 of 6, loss 1.0029, validation: mean Dice 0.0040 at step 6" in told


def test_a_run_manifest_made_before_is_read() -> None:
    record = read_manifest(MADE_BEFORE / "run")
    assert (record["dataset"], record["settings"]["snet"]["steps"]) == ("data", 6)
    assert load_bundle(MADE_BEFORE / "run" / "bundle").config.organs == ("Brainstem", "Parotid_R", "Parotid_L")


def test_a_segmentation_made_before_comes_back_with_all_that_it_said() -> None:
    back = read_segmentation(MADE_BEFORE / "organs.seg.nrrd")
    _, expected = scan_and_organs("oblique")
    assert np.array_equal(back.labels, expected.labels)
    assert back.geometry.same_grid_as(expected.geometry)
    assert back.provenance == PROVENANCE
    brainstem, *others = back.results
    assert brainstem == OrganResult(
        organ=expected.results[0].organ,
        label=1,
        found=True,
        volume_ml=pytest.approx(expected.results[0].volume_ml),
        peak=0.875,
        peak_mm_xyz=(1.5, -2.25, 3.0),
        second_peak=0.5,
        second_mm_xyz=(-4.0, 5.25, 6.5),
        spread_mm=2.75,
        warnings=("Two places are likely: left | right.",),
    )
    assert [r.organ.name for r in others] == list(NAMES[1:])
    (missing,) = (r for r in others if r.organ.name == MISSING)
    assert missing.warnings == next(r.warnings for r in expected.results if r.organ.name == MISSING)
