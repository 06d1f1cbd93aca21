"""Small organs of two networks, and models that carry a caution: what the list makes of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from focusnet.image.organs import find_organ
from focusnet.image.segmentation import BEYOND_ROI, BOTH_NETWORKS, OrganResult, Segmentation
from focusnet.image.volume import Geometry
from focusnet.nets.bundle import ModelBundle
from focusnet.qa.localization_scores import both_networks_score
from focusnet.qa.measure import measure_all
from focusnet.qa.organ_scores import LOOK_AT, Score
from focusnet.qa.ranking import rank_organs
from focusnet.qa.rough_models import GRADED, NOTE, WIDER
from focusnet.qa.spatial_relations import MOST_BEYOND, roi_edge_score

from ..helpers_engine import random_bundle, small_config
from ..helpers_qa import phantom_case

CAUTION = "Trained on simulated CT only."


def small_organ(name: str = "OpticNrv_L", **certainty: float) -> OrganResult:
    organ = find_organ(name)
    assert organ is not None
    return OrganResult(
        organ=organ,
        label=1,
        found=True,
        volume_ml=1.0,
        peak=0.9,
        peak_mm_xyz=(31.5, 31.5, 31.5),
        certainty=certainty or None,
    )


@pytest.mark.parametrize(
    ("dsc", "severity", "says"),
    [(0.9, 0.2, "Both networks agree on it (DSC of both 0.90)."), (0.2, 1.6, "draws it otherwise (DSC of both 0.20)"), (0.0, 2.0, "does not find it there")],
)  # fmt: skip
def test_two_networks_that_disagree_are_shown_and_move_no_rank(dsc: float, severity: float, says: str) -> None:
    score = both_networks_score(small_organ(**{BOTH_NETWORKS: dsc}))
    assert score is not None
    assert says in score.reason
    assert score.severity == pytest.approx(severity)
    assert not score.counts


def test_an_organ_that_one_network_drew_has_no_such_score() -> None:
    assert both_networks_score(small_organ()) is None
    assert both_networks_score(small_organ(expected_dsc=0.8)) is None


def cut_organ(bundle: ModelBundle, **certainty: float) -> Score:
    """An organ that fills the box of its SOS-Net from top to bottom."""
    size = np.array(bundle.config.roi_size_zyx) * bundle.config.spacing_mm_zyx
    labels = np.zeros((64, 64, 64), np.uint8)
    half = int(size[0] // 2)
    labels[32 - half : 32 + half, 30:34, 30:34] = 1
    geometry = Geometry(labels.shape, (1.0, 1.0, 1.0))
    name = bundle.config.small_organs[0]
    result = small_organ(name, **certainty)
    measured = measure_all(
        labels, geometry, Segmentation(labels=labels, geometry=geometry, results=(result,), provenance={})
    )
    return roi_edge_score(measured[name], result, geometry, bundle)


def test_an_organ_at_the_edge_of_its_box_is_held_against_what_s_net_drew_beyond_it(tmp_path: Path) -> None:
    bundle = random_bundle(
        tmp_path, small_config(has_sos=True, roi_size_zyx=(8, 16, 16), spacing_mm_zyx=(3.0, 3.0, 3.0))
    )
    assert cut_organ(bundle).severity == 1.0  # nothing is known of S-Net
    little, much = (cut_organ(bundle, **{BEYOND_ROI: part}) for part in (0.05, 0.5))
    assert little.severity == pytest.approx(0.05 / MOST_BEYOND)
    assert much.severity == pytest.approx(0.5 / MOST_BEYOND)
    assert "50 % lie beyond it" in much.reason


def test_organs_of_a_model_with_a_caution_are_held_to_wider_limits_and_it_is_said() -> None:
    _, case = phantom_case()
    marked = replace(case, provenance={**case.provenance, "caution": CAUTION})
    plain, wide = rank_organs(case), rank_organs(marked)
    assert NOTE in wide.notes
    assert NOTE not in plain.notes
    for organ in plain.organs:
        before = {s.id: s.severity for s in organ.scores}
        after = {s.id: s.severity for s in wide.organ(organ.organ.name).scores}
        assert before.keys() == after.keys()
        for key, severity in before.items():
            assert after[key] == (severity / WIDER if key in GRADED and severity is not None else severity)
    assert sum(o.group == LOOK_AT for o in wide.organs) <= sum(o.group == LOOK_AT for o in plain.organs)


def test_an_organ_is_not_judged_by_misplaced_neighbours_of_a_model_with_a_caution() -> None:
    _, case = phantom_case()
    rough = [r.organ.name for r in case.results if r.organ.name.startswith(("Eye", "Lens", "OpticNrv"))]
    wrong = [r.label for r in case.results if r.organ.name in rough]
    moved = np.where(np.isin(case.labels, wrong), 0, case.labels)
    away = np.roll(np.where(np.isin(case.labels, wrong), case.labels, 0), 40, axis=1)
    moved = np.where((away > 0) & (moved == 0), away, moved).astype(np.uint8)

    def places(caution: str) -> dict[str, float | None]:
        sure = {"model": "sure", "organs": {r.organ.name: "" for r in case.results if r.organ.name not in rough}}
        other = {"model": "rough", "organs": dict.fromkeys(rough, ""), "caution": caution}
        ranking = rank_organs(replace(case, labels=moved, provenance={"models": [sure, other]}))
        return {
            o.organ.name: next((s.severity for s in o.scores if s.id == "position"), None)
            for o in ranking.organs
            if o.organ.name not in rough
        }

    alone = replace(case, labels=moved, results=tuple(r for r in case.results if r.organ.name not in rough))
    expected = {
        o.organ.name: next((s.severity for s in o.scores if s.id == "position"), None)
        for o in rank_organs(alone).organs
    }
    assert places(CAUTION) == expected
    assert places("") != expected
