"""How clear a localization was: the next likely place and the spread, over the whole scan, whatever the chunks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from focusnet.inference.heatmap_shape import HeatmapShape, ball_radius_mm
from focusnet.inference.segment import segment
from focusnet.io.json_report import report
from focusnet.io.seg_nrrd import read_seg_nrrd, write_seg_nrrd
from focusnet.nets.solnet import gaussian_heatmap
from focusnet.qa.localization_scores import second_peak_score, spread_score

from ..helpers_engine import head, random_bundle, small_config

CONFIG = small_config(heatmap_sigma_voxels=3.0)


def two_places(second: float) -> torch.Tensor:
    """A Gaussian of height 1 around (20, 14, 40), across a chunk's border, and one of height ``second`` around (45, 50, 12)."""
    shape = (60, 64, 64)
    first = gaussian_heatmap(shape, (20, 14, 40), 3.0, 0)
    other = gaussian_heatmap(shape, (45, 50, 12), 3.0, 0)
    return torch.maximum(first, second * other)


@pytest.mark.parametrize("chunk", [60, 20, 21, 7])
@pytest.mark.parametrize("second", [0.9, 0.3])
def test_the_next_likely_place_is_found_and_is_never_the_same_place_again(chunk: int, second: float) -> None:
    heat = two_places(second)
    shape = HeatmapShape(CONFIG)
    for start in range(0, 60, chunk):
        shape.add(heat[start : start + chunk], start)
    value, place = shape.second((20, 14, 40)) or (0.0, None)
    assert value == pytest.approx(second, abs=1e-6)
    assert place == (45, 50, 12)


def test_a_heat_map_of_one_place_has_no_second_worth_the_name() -> None:
    shape = HeatmapShape(CONFIG)
    shape.add(two_places(0.0), 0)
    found = shape.second((20, 14, 40))
    assert found is None or found[0] < 0.02


def test_the_spread_of_the_gaussian_that_is_taught_is_its_radius_at_half_height() -> None:
    shape = HeatmapShape(CONFIG)
    shape.add(two_places(0.0), 0)
    radius = ball_radius_mm(shape.voxels_above_half(1.0), (2.0, 2.0, 2.0))
    assert radius == pytest.approx(2.0 * 3.0 * np.sqrt(2 * np.log(2)), rel=0.05)


def test_what_is_known_reaches_the_file_the_report_and_the_review(tmp_path: Path) -> None:
    bundle = random_bundle(tmp_path)
    result = segment(head(), bundle, device="cpu", precision="fp32")
    brainstem = next(r for r in result.results if r.organ.name == "Brainstem")
    assert brainstem.spread_mm is not None
    write_seg_nrrd(result, tmp_path / "o.seg.nrrd")
    again = next(r for r in read_seg_nrrd(tmp_path / "o.seg.nrrd").results if r.organ.name == "Brainstem")
    assert again.spread_mm == pytest.approx(brainstem.spread_mm)
    assert again.second_peak == brainstem.second_peak
    told = next(row for row in report(result)["organs"] if row["name"] == "Brainstem")
    assert told["localization_spread_mm"] == pytest.approx(brainstem.spread_mm, abs=0.1)
    parotid = next(r for r in result.results if r.organ.name == "Parotid_L")
    assert parotid.spread_mm is None
    assert not spread_score(parotid, bundle).applies
    sharp = replace(
        brainstem,
        peak=0.9,
        peak_mm_xyz=(0.0, 0.0, 0.0),
        second_peak=0.81,
        second_mm_xyz=(30.0, 40.0, 0.0),
        spread_mm=200.0,
    )
    assert "50 mm away, has a certainty of 0.81" in second_peak_score(sharp).reason
    assert (second_peak_score(sharp).severity or 0) > 1
    assert (spread_score(sharp, bundle).severity or 0) > 1
    assert not second_peak_score(sharp).flagged  # shown, but the rank is not theirs: not proven to find errors
