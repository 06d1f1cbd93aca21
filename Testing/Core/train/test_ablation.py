"""The benchmarks of Tables 6 to 8: what they would report, without training anything."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from ...paths import ROOT

BENCHMARKS = ROOT / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
ablation = pytest.importorskip("ablation")
table8 = pytest.importorskip("table8")


def test_every_configuration_of_table_6_is_a_row() -> None:
    files = {path.stem for path in ablation.CONFIGS.glob("*.toml")}
    assert {row.name for row in ablation.ROWS} == files


def test_a_row_takes_stages_only_from_rows_before_it_that_train_them() -> None:
    before: dict[str, tuple[str, ...]] = {}
    for row in ablation.ROWS:
        for stage, owner in row.shared:
            assert stage in before[owner]
            assert stage not in row.own
        before[row.name] = row.own
        stages = {*row.own, *(stage for stage, _ in row.shared)}
        assert "snet" in stages
        assert "sos" not in stages or "sol" in stages


def test_organs_weigh_the_same_however_many_scans_have_them() -> None:
    cases = [{"dsc": {"Brain": 0.9, "Lens_L": 0.1}}, {"dsc": {"Brain": 0.7}}, {"dsc": {"Brain": 0.8}}]
    assert ablation.mean_dsc({"cases": cases}) == pytest.approx((0.8 + 0.1) / 2)
    assert ablation.mean_dsc({"cases": cases}, ["Lens_L"]) == pytest.approx(0.1)


def test_spread_is_that_of_a_sample_and_one_seed_has_none() -> None:
    assert ablation.spread([0.5, 0.7]) == "0.600 ± 0.141"
    assert ablation.spread([0.5]) == "0.500"


def test_the_roi_is_moved_by_the_distance_in_one_direction() -> None:
    near, far = (table8.beside((10.0, -20.0, 30.0), mm, (3, 1)) for mm in (1.0, 9.0))
    centre = np.array([10.0, -20.0, 30.0])
    assert np.linalg.norm(far - centre) == pytest.approx(9.0)
    assert np.allclose((near - centre) * 9, far - centre)
    assert not np.allclose(table8.beside((10.0, -20.0, 30.0), 9.0, (3, 2)), far)
