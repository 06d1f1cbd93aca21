"""The model that ships: whole, small enough, honest about itself, and good enough on real scans that it never saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from focusnet.datasets.openkbp import OpenKBPDataset
from focusnet.image.orientation import to_upright
from focusnet.image.volume import Volume
from focusnet.inference.segment import segment
from focusnet.metrics import dice
from focusnet.nets.bundle import ModelBundle, load_bundle

from ...paths import ROOT
from ..helpers_engine import reoriented

SHIPPED = ROOT / "FocusNetSegmentation" / "Resources" / "Models" / "han7-openkbp"
LARGE = ("Brainstem", "SpinalCord", "Parotid_R", "Parotid_L", "Bone_Mandible")


@pytest.fixture(scope="module")
def bundle() -> ModelBundle:
    return load_bundle(SHIPPED)


def test_the_shipped_bundle_verifies_and_is_at_most_16_mib(bundle: ModelBundle) -> None:
    bundle.build()
    assert sum(p.stat().st_size for p in SHIPPED.iterdir()) <= 16 * 2**20
    assert {o.name for o in bundle.organs} == {*LARGE, "Esophagus", "Larynx"}
    assert set(bundle.small_organs) == {"Brainstem", "Esophagus", "Larynx"}


def test_the_shipped_bundle_says_how_good_it_is_and_its_card_says_the_same(bundle: ModelBundle) -> None:
    scores = bundle.manifest["held_out"]["organs"]
    card = (ROOT / "docs" / "model-cards" / "han7-openkbp.md").read_text(encoding="utf-8")
    for organ in bundle.organs:
        row = scores[organ.name]
        assert row["n"] > 0
        assert f"| {organ.name} | {row['n']} | {row['dsc_mean']:.3f} ± {row['dsc_sd']:.3f} |" in card
    assert np.mean([scores[name]["dsc_mean"] for name in LARGE]) >= 0.75


@pytest.mark.slow
def test_real_scans_that_it_never_saw(bundle: ModelBundle, real_data: Path) -> None:
    """Three scans of the validation split: far from chance, near the card's scores; the card has all 33."""
    dataset = OpenKBPDataset(real_data / "openkbp")
    scores = []
    for name in ("pt_201", "pt_206", "pt_210"):
        case = dataset.case("val", name)
        result = segment(Volume(case.hu, case.geometry, name), bundle, device="cpu")
        for label, organ in enumerate(dataset.organs, start=1):
            if organ in LARGE and organ in case.contoured:
                scores.append(dice(result.mask(organ), case.labels == label))
    assert np.mean(scores) > 0.7


@pytest.mark.slow
@pytest.mark.parametrize(("axes", "flips"), [((0, 1, 2), (True, False, True)), ((2, 0, 1), (False, True, False))])
def test_a_real_scan_stored_another_way_has_its_organs_in_the_same_place(
    bundle: ModelBundle, real_data: Path, axes: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> None:
    case = OpenKBPDataset(real_data / "openkbp").case("val", "pt_206")
    scan = Volume(case.hu, case.geometry, case.name)
    expected = segment(scan, bundle, device="cpu")
    stored = reoriented(scan, axes, flips)
    again = segment(stored, bundle, device="cpu")
    labels, _, _, _ = to_upright(again.labels, again.geometry)
    for row in expected.results:
        if row.found:
            assert dice(labels == row.label, expected.labels == row.label) >= 0.98, row.organ.name
    left, right = (
        scan.geometry.index_to_mm(np.argwhere(expected.mask(f"Parotid_{side}"))).mean(axis=0)[0] for side in "LR"
    )
    assert left > right
