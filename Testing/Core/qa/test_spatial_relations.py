"""Organs against each other: what must touch, what must lie between, where the neighbours say it should be, where it was localized."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from focusnet.image.segmentation import Segmentation
from focusnet.qa import Score
from focusnet.qa.organ_scores import LOOK_AT, NO_SIGN
from focusnet.qa.ranking import rank_organs
from focusnet.qa.reference_statistics import Spread, load_reference_statistics

from ..helpers_outputs import scan_and_organs
from ..helpers_qa import label_of, phantom_case, with_labels


def score(case: Segmentation, organ: str, name: str) -> Score:
    return next(s for s in rank_organs(case).organ(organ).scores if s.id == name)


def moved(case: Segmentation, organ: str, voxels_zyx: tuple[int, int, int]) -> Segmentation:
    label = label_of(case, organ)
    index = np.argwhere(case.labels == label)
    labels = np.where(case.labels == label, 0, case.labels).astype(np.uint8)
    labels[tuple((index + voxels_zyx).T)] = label
    return with_labels(case, labels)


def test_an_optic_nerve_that_ends_before_its_globe_is_told_with_the_distance() -> None:
    _, reference = phantom_case()  # voxels of 2 x 2 x 3 mm
    assert not score(reference, "OpticNrv_L", "touch").flagged
    away = score(moved(reference, "OpticNrv_L", (8, 0, 0)), "OpticNrv_L", "touch")
    assert away.flagged
    assert away.reason.startswith("Ends ")
    assert "mm from Eye_L" in away.reason
    assert away.value > 10


def test_a_chiasm_before_or_beside_the_optic_nerves_is_noticed() -> None:
    _, reference = phantom_case()
    assert not score(reference, "OpticChiasm", "chiasm").flagged
    assert (
        "in front of the optic nerves"
        in score(moved(reference, "OpticChiasm", (0, -40, 0)), "OpticChiasm", "chiasm").reason
    )
    assert (
        "beside the optic nerves" in score(moved(reference, "OpticChiasm", (0, 0, 40)), "OpticChiasm", "chiasm").reason
    )


def test_a_misplaced_organ_is_blamed_and_its_neighbours_are_not() -> None:
    _, reference = phantom_case()
    before = {
        o.organ.name: score(reference, o.organ.name, "position")
        for o in rank_organs(reference).organs
        if o.group == NO_SIGN
    }
    lens = score(moved(reference, "Lens_L", (0, 20, 0)), "Lens_L", "position")  # 40 mm to the back
    assert lens.severity > 2
    assert lens.value == pytest.approx(40, abs=5)
    assert "too far to the back" in lens.reason
    after = {
        name: score(moved(reference, "Lens_L", (0, 20, 0)), name, "position") for name in before if name != "Lens_L"
    }
    assert not any(s.flagged for s in after.values())
    assert sum(s.applies for s in after.values()) >= 4


def test_a_localization_without_confidence_or_far_from_the_organ_is_told() -> None:
    _, reference = scan_and_organs()
    brainstem = next(r for r in reference.results if r.organ.name == "Brainstem")
    others = tuple(r for r in reference.results if r is not brainstem)
    x, y, z = rank_organs(reference).organ("Brainstem").center_mm_xyz
    for peak, place, words in ((0.9, (x, y, z), "sure of its place: 0.90"), (0.3, (x, y, z), "not sure where it is"),
                               (0.9, (x, y, z + 30), "30 mm from where the model looked for it")):  # fmt: skip
        case = replace(reference, results=(replace(brainstem, peak=peak, peak_mm_xyz=place), *others))
        found = score(case, "Brainstem", "localization")
        assert words in found.reason
        assert found.flagged == (not words.startswith("sure"))


def test_the_cord_is_not_held_to_the_length_of_the_scan() -> None:
    _, reference = scan_and_organs()
    for name in ("volume", "extent", "position"):
        found = score(reference, "SpinalCord", name)
        assert not found.applies
        assert "leaves most scans" in found.reason
    assert rank_organs(reference).organ("SpinalCord").group in (LOOK_AT, NO_SIGN)  # judged all the same


def test_severity_is_1_where_one_of_1000_real_volumes_lies_beyond() -> None:
    rng = np.random.default_rng(0)
    spread = Spread.read(Spread.of(np.exp(rng.normal(1.0, 0.3, 20_000))))
    assert spread.severity(np.exp(1.0)) == pytest.approx(0, abs=0.02)
    for sd in (3.09, -3.09):
        assert spread.severity(float(np.exp(1.0 + 0.3 * sd))) == pytest.approx(1, abs=0.05)
    assert spread.percentile(float(np.exp(1.0))) == pytest.approx(50, abs=1)


def test_offsets_between_organs_read_the_same_from_both_ends() -> None:
    statistics = load_reference_statistics()
    there, back = statistics.offset("Eye_L", "Lens_L"), statistics.offset("Lens_L", "Eye_L")
    assert there is not None
    assert back is not None
    assert np.allclose(there.mean_mm_xyz, -back.mean_mm_xyz)
    assert there.mean_mm_xyz[1] < -5  # a lens lies before the middle of its eye
