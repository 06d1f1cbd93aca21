"""The predicted DSC: trees read from JSON, measures of an organ, reasons in words, and where nothing is predicted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from focusnet.errors import ModelError
from focusnet.image.organs import find_organ
from focusnet.image.segmentation import OrganResult, Segmentation
from focusnet.image.volume import Geometry, Volume
from focusnet.qa.organ_scores import LOOK_AT, NO_SIGN, Score, organ_dict
from focusnet.qa.quality.coarse_scan import CoarseScan, coarse_scan
from focusnet.qa.quality.features import is_where_it_was_drawn, organ_features
from focusnet.qa.quality.measures import measure_organs
from focusnet.qa.quality.model import SHIPPED, QualityModel, Tree, load_quality_model
from focusnet.qa.quality.score import ID, beside_prediction, cord_end_score, severity_of
from focusnet.qa.quality.usual import Middle, Usual, weighted_median
from focusnet.qa.quality.words import reasons
from focusnet.qa.ranking import rank_organs

from ..helpers_qa import phantom_case

SEVEN = {"Brainstem", "SpinalCord", "Parotid_R", "Parotid_L", "Esophagus", "Larynx", "Bone_Mandible"}
OPENKBP = Path(__file__).parents[4] / "shared" / "data" / "openkbp"
STUMP = Tree((0, -1, -1), (0.5, 0.0, 0.0), (1, 0, 0), (2, 0, 0), (1, 0, 0), (-0.1, -0.3, 0.1))


def model(*trees: Tree) -> QualityModel:
    calibration = np.array([[0.2, 0.9, -0.2, 0.2], [0.8, 0.1, -0.1, 0.05]])
    usual = Usual({"Larynx": {}}, {}, {})
    return QualityModel(
        "q", "1", ("m",), ("Larynx",), ("a",), usual, {"Larynx": 0.7}, 0.6, trees, calibration, 0.5, 0.4
    )


def cube_scan() -> CoarseScan:
    """A cube of 5 x 5 x 5 voxels of 3 mm at 40 HU, its lowest slice air, in fat; labels 1."""
    labels, hu = np.zeros((20, 20, 20), np.uint8), np.full((20, 20, 20), -100.0, np.float32)
    labels[8:13, 8:13, 8:13] = 1
    hu[8:13, 8:13, 8:13] = 40
    hu[8, 8:13, 8:13] = -1000
    return coarse_scan(labels, hu, Geometry((20, 20, 20), (3.0, 3.0, 3.0)))


def test_a_tree_sends_small_values_left_and_missing_ones_where_it_says() -> None:
    assert STUMP.path(np.array([0.4])) == [0, 1]
    assert STUMP.path(np.array([0.6])) == [0, 2]
    assert STUMP.path(np.array([np.nan])) == [0, 1]


def test_a_prediction_is_the_base_and_the_leaves_and_says_which_feature_moved_it() -> None:
    found = model(STUMP, STUMP).predict("Larynx", {"a": 0.0})
    assert found.dsc == pytest.approx(0.6 - 0.3 - 0.3)
    assert dict(found.moved) == {"a": pytest.approx(-0.4)}  # twice from the mean of all, -0.1, to the leaf's -0.3
    assert model(STUMP).predict("Larynx", {"a": 0.6}).dsc == pytest.approx(0.7)


def test_the_interval_and_the_part_of_bad_ones_are_interpolated_in_the_calibration() -> None:
    found = model().predict("Larynx", {})
    assert (found.bad, found.low, found.high) == pytest.approx(
        (0.9 - 0.8 * 2 / 3, 0.6 - 0.2 + 0.1 * 2 / 3, 0.6 + 0.2 - 0.15 * 2 / 3)
    )


def test_what_ships_is_small_and_predicts_seven_organs() -> None:
    assert SHIPPED.stat().st_size < 300_000
    shipped = load_quality_model()
    assert set(shipped.organs) == SEVEN
    assert all(shipped.knows(organ) for organ in SEVEN)
    assert not shipped.knows("Eye_L")
    assert shipped.look_at_unknown < shipped.look_at  # a person's contour is not held to the model's habits


@pytest.mark.parametrize("text", ["", "{}", '{"format": 99}'])
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "quality.json"
    path.write_text(text)
    with pytest.raises(ModelError, match="install focusnet again"):
        load_quality_model(path)


def test_a_cube_is_measured() -> None:
    found = measure_organs(cube_scan(), {1: "Larynx"})["Larynx"]
    assert found["length_z_mm"] == found["length_x_mm"] == 15.0
    assert np.exp(found["log_ml"]) == pytest.approx(3.375)
    assert found["air_inside"] == pytest.approx(0.2)
    assert found["above_scan_bottom_mm"] == 24.0
    assert found["hu"] == 40.0
    assert found["hu_front"] == pytest.approx(-100.0)
    assert found["missing_mm"] == 0.0


def test_voxels_of_one_millimetre_are_joined_to_three() -> None:
    labels, hu = np.zeros((60, 60, 60), np.uint8), np.full((60, 60, 60), -100, np.int16)
    labels[24:39, 24:39, 24:39] = 1
    hu[24:39, 24:39, 24:39] = 40
    scan = coarse_scan(labels, hu, Geometry((60, 60, 60), (1.0, 1.0, 1.0)))
    assert scan.labels.shape == (20, 20, 20)
    found = measure_organs(scan, {1: "Larynx"})["Larynx"]
    assert (found["length_x_mm"], found["bottom_mm"]) == (15.0, 25.0)  # the middle of voxels 24, 25 and 26


def test_a_place_is_off_by_what_the_median_of_the_neighbours_says() -> None:
    organs = measure_organs(cube_scan(), {1: "Larynx"})
    neighbours = {f"n{k}": {**organs["Larynx"], "z_mm": z} for k, z in enumerate((40.0, 41.0, 90.0))}
    seen = {"z_mm": {f"n{k}:z_mm": Middle(0.0, 2.0) for k in range(3)}}
    usual = Usual({"Larynx": {}}, {"Larynx": seen}, {})
    assert usual.off_places("Larynx", {**organs, **neighbours}) == {"z_mm": organs["Larynx"]["z_mm"] - 41.0}
    assert weighted_median([1.0, 2.0, 9.0], [1.0, 1.0, 5.0]) == 9.0


def test_reasons_name_what_lowered_the_prediction_most_with_the_usual_value() -> None:
    organs = measure_organs(cube_scan(), {1: "Larynx"})
    usual = Usual({"Larynx": {"air_inside": Middle(0.02, 0.02), "hu": Middle(40.0, 10.0)}}, {}, {})
    features = organ_features("Larynx", organs, usual, {"Larynx": {"sure": 0.31}})
    moved = {"air_inside": -0.2, "sure": -0.1, "hu": -0.05}
    assert reasons("Larynx", organs, usual, features, moved) == (
        "20 % of it is air (usual: 2 %).",
        "The network is sure of only 31 % of its voxels.",
    )  # its HU are ordinary, so they are no reason


def test_certainty_is_not_believed_of_an_organ_that_was_moved() -> None:
    larynx = find_organ("Larynx")
    assert larynx is not None
    drawn_at = {"sure": 0.9, "at_x_mm": 30.0, "at_y_mm": 30.0, "at_z_mm": 30.0}
    result = OrganResult(organ=larynx, label=1, found=True, volume_ml=3.4, certainty=drawn_at)
    assert is_where_it_was_drawn(result, cube_scan())
    assert not is_where_it_was_drawn(replace(result, certainty={**drawn_at, "at_x_mm": 40.0}), cube_scan())
    diagonal_mm = float(np.linalg.norm(cube_scan().spacing_mm_zyx))  # less is the rounding of two grids
    for shift_mm, still in ((0.9 * diagonal_mm, True), (1.1 * diagonal_mm, False)):
        shifted = replace(result, certainty={**drawn_at, "at_z_mm": 30.0 + shift_mm})
        assert is_where_it_was_drawn(shifted, cube_scan()) is still


def test_volume_and_extent_beside_a_prediction_count_only_where_they_are_gross() -> None:
    scores = [
        Score(i, i, "Why.", s) for i, s in (("volume", 1.4), ("extent", 1.6), ("touch", 1.6), ("slice_gaps", 1.5))
    ]
    assert [s.counts for s in beside_prediction(scores)] == [False, True, False, True]


def test_a_cord_that_ends_inside_the_scan_is_listed_and_one_that_leaves_it_is_not() -> None:
    assert cord_end_score({"above_scan_bottom_mm": 3.0}).severity == pytest.approx(0.15)
    early = cord_end_score({"above_scan_bottom_mm": 30.0})
    assert early.flagged
    assert early.reason == "Ends 30 mm above the scan's lower end; the cord goes on to it."


def test_the_limit_of_the_list_is_a_severity_of_one() -> None:
    assert severity_of(0.7, 0.7) == 0.9999999999999999 or severity_of(0.7, 0.7) == 1.0
    assert severity_of(0.69, 0.7) > 1
    assert (severity_of(1.0, 0.7), severity_of(0.0, 0.7)) == (0.0, 10.0)


def test_contours_of_another_model_and_scans_like_no_patient_get_the_rules_alone() -> None:
    volume, reference = phantom_case()
    water = replace(volume, array=np.zeros_like(volume.array))
    for scan, provenance in ((water, {}), (volume, {"model": "some-other-model"})):
        result = rank_organs(replace(reference, provenance=provenance), scan)
        assert all(o.predicted is None for o in result.organs)
        assert any("No DSC was predicted" in note for note in result.notes)


def real_case() -> tuple[Volume, Segmentation]:
    """The first validation scan of OpenKBP with its reference contours, as if the model had drawn them."""
    from focusnet.datasets.openkbp import OpenKBPDataset

    if not OPENKBP.is_dir():
        pytest.skip("shared/data/openkbp is not here")
    dataset = OpenKBPDataset(OPENKBP)
    case = dataset.case("val", "pt_201")
    results = []
    for label, name in enumerate(dataset.organs, start=1):
        organ = find_organ(name)
        assert organ is not None
        results.append(OrganResult(organ=organ, label=label, found=True, volume_ml=1.0))
    labels = np.asarray(case.labels, np.uint8)
    made_by = {"model": "han7-openkbp"}
    return Volume(case.hu, case.geometry, "pt_201"), Segmentation(labels, case.geometry, tuple(results), made_by)


def test_a_parotid_moved_by_15_mm_is_listed_with_its_predicted_dsc() -> None:
    volume, reference = real_case()
    label = next(r.label for r in reference.results if r.organ.name == "Parotid_L")
    step = round(15 / reference.geometry.spacing_mm_zyx[1])
    labels = np.where(reference.labels == label, 0, reference.labels).astype(np.uint8)
    labels[np.roll(reference.labels == label, -step, axis=1)] = label
    before = rank_organs(reference, volume).organ("Parotid_L")
    after = rank_organs(replace(reference, labels=labels), volume).organ("Parotid_L")
    assert before.group == NO_SIGN
    assert before.reasons[0].startswith("No sign of a mistake (predicted DSC 0.")
    assert after.group == LOOK_AT
    assert after.scores[0].id == ID
    assert after.reasons[0].startswith("Likely poor (0.")
    assert len(after.reasons) > 1
    assert before.predicted is not None
    assert after.predicted is not None
    assert after.predicted.dsc < before.predicted.dsc - 0.1
    written = json.loads(json.dumps(organ_dict(after)))["predicted_dsc"]
    assert set(written) == {"dsc", "low", "high", "part_below_0.6"}


def test_a_merged_results_organs_have_the_prediction_that_they_have_alone() -> None:
    volume, alone = real_case()
    lens = find_organ("Lens_L")
    assert lens is not None
    added = OrganResult(organ=lens, label=9, found=True, volume_ml=1.0)
    labels = alone.labels.copy()
    labels[-4:, :3, :3] = 9
    models = [
        {"model": "han7-openkbp", "organs": {r.organ.name: "" for r in alone.results if r.organ.name != "Larynx"}},
        {"model": "eyes22", "organs": {"Lens_L": "", "Larynx": ""}},
    ]
    about = {"model": "han7-openkbp + eyes22", "models": models}
    merged = rank_organs(Segmentation(labels, alone.geometry, (*alone.results, added), about), volume)
    without_larynx = replace(alone, results=tuple(r for r in alone.results if r.organ.name != "Larynx"))
    expected = rank_organs(without_larynx, volume)
    for name in ("Parotid_L", "Brainstem", "SpinalCord"):
        found, wanted = merged.organ(name).predicted, expected.organ(name).predicted
        assert found is not None
        assert wanted is not None
        assert found.dsc == pytest.approx(wanted.dsc)
    assert merged.organ("Larynx").predicted is None, "it is of a model that the prediction was not fitted on"
    assert merged.organ("Lens_L").predicted is None
    assert not any("No DSC was predicted" in note for note in merged.notes)
