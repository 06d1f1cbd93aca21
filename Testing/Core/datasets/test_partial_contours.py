"""Partial contours: an organ that nobody contoured in a patient is unknown there, in whatever is counted, drawn, taught or scored."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from focusnet.datasets.case import Case, organ_centroids_mm
from focusnet.datasets.openkbp import OpenKBPDataset
from focusnet.train.settings import Settings
from focusnet.train.stages.augment import NO_AUGMENTATION, Augmentation, draw_sample, join_crops
from focusnet.train.stages.losses import dice_loss
from focusnet.train.stages.model import TrainingNet
from focusnet.train.stages.organ_volumes import mean_class_voxels, volume_statistics
from focusnet.train.stages.small_organ_crops import draw_case_shapes, draw_whole_organs, small_organ_extents
from focusnet.train.stages.stage import StageContext, has_small_organ
from focusnet.train.stages.table import STAGES, snet_loss
from focusnet.train.validation import Validator, make_validator

from ..helpers_dataset import LABELS, write_dataset
from ..helpers_engine import random_network, small_config

PAIR = ("Parotid_R", "Parotid_L")
MIRROR = Augmentation(0.0, 0.0, (1.0, 1.0), mirror=True)


def config(**changes: Any) -> Any:
    return small_config(
        organs=tuple(LABELS), small_organs=("Brainstem", *PAIR), has_sos=True, aae_width=0.125, **changes
    )


def context(augmentation: Augmentation = NO_AUGMENTATION, **settings: Any) -> StageContext:
    return StageContext(config(), Settings(**settings), augmentation, torch.ones(4))


@pytest.fixture(scope="module")
def cases(dataset: Path) -> list[Case]:
    """The second has no contour of Parotid_L."""
    return list(OpenKBPDataset(dataset).cases("train"))


def not_listed(case: Case, organ: str) -> Case:
    """The organ's voxels are in the label map, but nobody says that it was contoured: half a parotid from another project."""
    centroids = {name: place for name, place in case.centroids_mm_xyz.items() if name != organ}
    return replace(case, contoured=case.contoured - {organ}, centroids_mm_xyz=centroids)


def test_sizes_are_means_over_the_patients_in_whom_an_organ_was_contoured(cases: list[Case]) -> None:
    first, second, third = cases
    whole, without = mean_class_voxels([first], config()), mean_class_voxels([first, second], config())
    assert float(without[3]) == pytest.approx(float(whole[3])), "the second patient's parotid is unknown, not of size 0"
    labels = third.labels.copy()
    labels[:12][labels[:12] == LABELS["Parotid_L"]] = 0
    half = not_listed(replace(third, labels=labels), "Parotid_L")
    assert 0 < (half.labels == LABELS["Parotid_L"]).sum() < (third.labels == LABELS["Parotid_L"]).sum()
    assert float(mean_class_voxels([first, half], config())[3]) == pytest.approx(float(whole[3]))
    for odd in (second, half):
        ml = volume_statistics([first, odd], config())["Parotid_L"]
        assert ml == volume_statistics([first], config())["Parotid_L"]


def test_a_score_leaves_out_what_was_not_contoured(cases: list[Case]) -> None:
    """However many voxels of it the network draws."""
    network = random_network(config())
    for case in (cases[1], not_listed(cases[2], "Parotid_L")):
        for of in ("dice", "all"):
            scores = Validator([case], config(), "fp32", of)(network)
            assert set(scores) == {"score", "Brainstem", "Parotid_R"}
            assert scores["score"] == pytest.approx(np.mean([scores["Brainstem"], scores["Parotid_R"]]))
        assert set(Validator([case], config(), "fp32", "localization")(network)) == {
            "score",
            "Brainstem_mm",
            "Parotid_R_mm",
        }
        shapes = make_validator("reconstruction", [case], config(), Settings()).shapes
        assert {shape.organ for shape in shapes} == {"Brainstem", "Parotid_R"}


def test_voxels_of_an_organ_that_dataset_json_does_not_list_are_as_if_nobody_had_drawn_them(tmp_path: Path) -> None:
    """Kept, they would cost -log of the smallest probability each, which no step can lower."""
    folder = write_dataset(tmp_path, 1, 1)
    whole = OpenKBPDataset(folder).case("train", "pt_1")
    index = json.loads((folder / "dataset.json").read_text())
    index["contoured"]["train"]["pt_1"].remove("Parotid_L")
    (folder / "dataset.json").write_text(json.dumps(index))
    case = OpenKBPDataset(folder).case("train", "pt_1")
    assert np.array_equal(case.labels, np.where(whole.labels == LABELS["Parotid_L"], 0, whole.labels))
    assert "Parotid_L has voxels" in case.warnings[0]


def test_a_dice_loss_leaves_out_voxels_of_an_organ_that_is_not_listed() -> None:
    """Two voxels, of organ 1 and of organ 2: with organ 2 unknown the loss is organ 1's alone."""
    p = torch.tensor([[0.2, 0.8, 0.0], [0.3, 0.1, 0.6]]).T[None, :, None, None, :]
    target = torch.tensor([1, 2])[None, None, None]
    loss = dice_loss(p, target, torch.tensor([[True, True, False]]))
    assert float(loss) == pytest.approx(1 - 1.6 / 1.9, rel=1e-4)


def test_each_crop_of_a_batch_keeps_its_own_unknown_organs(cases: list[Case]) -> None:
    """The focal loss of two crops is the mean of theirs; only one of them has a left parotid."""
    torch.manual_seed(0)
    model, where = TrainingNet(config(), with_aae=False).eval(), context(dice_weight=0.0)
    drawn = [draw_whole_organs(case, where, np.random.default_rng(0)) for case in cases[:2]]
    alone = [snet_loss(model, join_crops([sample]), where).item() for sample in drawn]
    for order in ((0, 1), (1, 0)):
        both = snet_loss(model, join_crops([drawn[i] for i in order]), where).item()
        assert both == pytest.approx(np.mean(alone), rel=1e-5)


def test_an_organ_that_is_not_listed_gives_no_centre_no_roi_and_no_shape(cases: list[Case]) -> None:
    case = not_listed(cases[2], "Parotid_L")
    assert organ_centroids_mm(case.labels, case.geometry, tuple(LABELS), case.contoured) == case.centroids_mm_xyz
    sample = draw_whole_organs(case, context(), np.random.default_rng(0))
    assert set(sample.centers_zyx) == set(sample.rois) == {"Brainstem", "Parotid_R"}
    assert draw_case_shapes(case, context(), np.random.default_rng(0)).organs == ("Brainstem", "Parotid_R")


def test_an_organ_that_coarse_voxels_lose_is_not_taught_as_an_empty_shape(cases: list[Case]) -> None:
    """One voxel of a gland, whose centre falls between the voxels of the ROI."""
    labels = np.where(cases[0].labels == LABELS["Parotid_L"], 0, cases[0].labels).astype(np.uint8)
    labels[12, 16, 24] = LABELS["Parotid_L"]
    centroids = organ_centroids_mm(labels, cases[0].geometry, tuple(LABELS), cases[0].contoured)
    case = replace(cases[0], labels=labels, centroids_mm_xyz=centroids)
    assert "Parotid_L" in small_organ_extents(case, config())
    sample = draw_case_shapes(case, context(roi_jitter_zyx=(0, 0, 0)), np.random.default_rng(0))
    assert sample.organs == ("Brainstem", "Parotid_R")
    assert all(bool(mask.any()) for mask in sample.masks)


def test_under_mirroring_a_lone_parotid_is_the_other_one_in_everything_that_is_taught(cases: list[Case]) -> None:
    """Voxels, what is known, heat-map centre, ROI and shape of the second patient, who has no left parotid."""
    seen = set()
    for seed in range(8):
        sample = draw_whole_organs(cases[1], context(MIRROR), np.random.default_rng(seed))
        shapes = draw_case_shapes(cases[1], context(MIRROR, roi_jitter_zyx=(0, 0, 0)), np.random.default_rng(seed))
        (there,) = (organ for organ in PAIR if bool((sample.labels == LABELS[organ]).any()))
        assert [organ for organ in PAIR if sample.known[LABELS[organ]]] == [there]
        assert set(sample.rois) == set(sample.centers_zyx) == {"Brainstem", there}
        mask = sample.labels == LABELS[there]
        np.testing.assert_allclose(torch.nonzero(mask).float().mean(dim=0), sample.centers_zyx[there], atol=0.6)
        assert int(sample.rois[there].crop(mask[None, None].float()).sum()) == int(mask.sum())
        assert shapes.organs in (("Brainstem", "Parotid_R"), ("Brainstem", "Parotid_L"))
        assert all(int(shape.sum()) > 20 for shape in shapes.masks)
        seen.add((there, shapes.organs[1]))
    assert {one for pair in seen for one in pair} == set(PAIR)


def test_a_patient_without_any_small_organ_is_no_patient_for_the_small_organs_stages(cases: list[Case]) -> None:
    only = small_config(organs=tuple(LABELS), small_organs=("Parotid_L",), has_sos=True)
    assert [has_small_organ(case, only) for case in cases] == [True, False, True]
    assert not has_small_organ(not_listed(cases[2], "Parotid_L"), only)
    for stage in ("sol", "aae", "sos", "joint"):
        assert not STAGES[stage].usable(cases[1], only)


def test_a_crop_knows_what_its_patient_knows(cases: list[Case]) -> None:
    for case in (cases[1], not_listed(cases[2], "Parotid_L")):
        sample = draw_sample(case, config(), NO_AUGMENTATION, np.random.default_rng(0))
        assert sample.known.tolist() == [True, True, True, False]
