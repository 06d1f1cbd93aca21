"""Variants of a painted head: seedable, varied, labels follow every deformation, and nothing is drawn where nothing may vary."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from focusnet.cli.main import main
from focusnet.datasets.bit_masks import BitMaskFolder
from focusnet.datasets.open_dataset import open_dataset
from focusnet.errors import DatasetError
from focusnet.simulate.dataset import Recipe, split_cases
from focusnet.simulate.deform import smooth_noise
from focusnet.simulate.mouth import TEETH_MEET, open_mouth
from focusnet.simulate.scan_variety import CURVE_HU, coloured_noise, scan, stray_hu
from focusnet.simulate.specimen import METAL, OUTSIDE, Specimen, load_specimen, make_specimen, save_specimen
from focusnet.simulate.surroundings import add_surroundings
from focusnet.simulate.variant import NOTHING_HU, Variant, draw_variant
from focusnet.simulate.variety import Variety

from ..helpers_labels import write_bit_masks

ORGANS = ("Brain", "Eye_L", "Eye_R", "Lens_L", "Lens_R", "OpticNrv_L", "OpticNrv_R", "Cochlea_L", "Cochlea_R", "OpticChiasm", "Pituitary")  # fmt: skip
SHAPE, SPACING = (8, 64, 96), (3.0, 2.0, 2.0)
STILL = Variety.none()


@pytest.fixture(scope="module")
def specimen(tmp_path_factory: pytest.TempPathFactory) -> Specimen:
    folder = write_bit_masks(tmp_path_factory.mktemp("labels") / "oars")
    return make_specimen(BitMaskFolder.open(folder).read("oncologist", "p01"), ORGANS, seed=0, region="base")


def _eyes(specimen: Specimen) -> np.ndarray:
    return np.mean([specimen.centres_mm_xyz[name] for name in ("Eye_L", "Eye_R")], axis=0)


def _draw(specimen: Specimen, variety: Variety, seed: int = 0) -> Variant:
    return draw_variant(specimen, SHAPE, SPACING, _eyes(specimen), variety, np.random.default_rng(seed))


def _centre(labels: np.ndarray, organ: str) -> np.ndarray:
    return np.argwhere(labels == ORGANS.index(organ) + 1).mean(axis=0)


def test_the_same_generator_gives_the_same_variant_and_another_one_another(specimen: Specimen) -> None:
    first, again, other = _draw(specimen, Variety()), _draw(specimen, Variety()), _draw(specimen, Variety(), seed=1)
    assert np.array_equal(first.hu, again.hu)
    assert np.array_equal(first.labels, again.labels)
    assert not np.array_equal(first.labels, other.labels)
    assert first.hu.shape == first.labels.shape == SHAPE
    assert first.hu.min() >= NOTHING_HU
    assert first.hu.max() <= 3071


def test_without_variety_every_organ_lies_where_it_was_painted(specimen: Specimen) -> None:
    variant = _draw(specimen, STILL)
    middle = (np.array(SHAPE) - 1) / 2
    for organ in ("Eye_L", "Eye_R"):
        expected = (np.array(specimen.centres_mm_xyz[organ]) - _eyes(specimen))[::-1] / SPACING + middle
        assert np.abs(_centre(variant.labels, organ) - expected).max() < 0.5


def test_labels_follow_the_grey_values_through_pose_bending_and_gaze(specimen: Specimen) -> None:
    moving = replace(STILL, pitch=20.0, turn=10.0, scale=(0.9, 1.1), stretch=0.05, bend_mm=5.0, gaze=20.0)
    marked = replace(specimen, hu=np.where(np.isin(specimen.labels, [2, 3]), 2000, -1000).astype(np.int16))
    for seed in range(4):
        variant = _draw(marked, replace(moving, kernel_mm=(0.0, 0.0)), seed)
        bright, eyes = variant.hu > 500, np.isin(variant.labels, [2, 3])
        assert 2 * (bright & eyes).sum() / (bright.sum() + eyes.sum()) > 0.9


def test_a_mirror_image_exchanges_left_and_right(specimen: Specimen) -> None:
    seen = {}
    for seed in range(12):
        variant = _draw(specimen, replace(STILL, mirror=True), seed)
        seen[variant.mirrored] = _centre(variant.labels, "Eye_L")[2] > _centre(variant.labels, "Eye_R")[2]
    assert seen == {True: True, False: True}  # the left eye lies to the patient's left in both


def test_a_gaze_moves_the_lens_and_leaves_the_globe(specimen: Specimen) -> None:
    straight, away = _draw(specimen, STILL), _draw(specimen, replace(STILL, gaze=40.0), seed=3)
    moved = {
        o: np.linalg.norm((_centre(straight.labels, o) - _centre(away.labels, o)) * SPACING)
        for o in ("Eye_L", "Lens_L")
    }
    assert moved["Eye_L"] < 1.5
    assert moved["Lens_L"] > 2.0


def _at_the_joints(specimen: Specimen, below_forward: float, radius_mm: float) -> tuple[np.ndarray, list[np.ndarray]]:
    """A point ``radius_mm`` from the jaw's joints, as an array (x, y, z) and as three arrays (1, 1, 1)."""
    eyes, ears = _eyes(specimen), np.mean([specimen.centres_mm_xyz[n] for n in ("Cochlea_L", "Cochlea_R")], axis=0)
    forward = (eyes - ears) * (0.0, 1.0, 1.0)
    forward /= np.linalg.norm(forward)
    up = np.array([0.0, forward[2], -forward[1]])
    angle = np.deg2rad(below_forward)
    point = ears + 12.0 * forward - 8.0 * up + radius_mm * (np.cos(angle) * forward - np.sin(angle) * up)
    return point, [np.full((1, 1, 1), c, np.float32) for c in point]


@pytest.mark.parametrize(("angle", "moves"), [(20.0, 0.0), (TEETH_MEET - 5, 0.0), (90.0, 12.0), (170.0, 0.0)])
def test_an_open_mouth_turns_the_lower_jaw_and_nothing_above_or_behind_it(
    specimen: Specimen, angle: float, moves: float
) -> None:
    before, mm = _at_the_joints(specimen, angle, 80.0)
    open_mouth(mm, specimen, 12.0)
    after = np.array([c[0, 0, 0] for c in mm])
    assert np.linalg.norm(after - before) == pytest.approx(2 * 80.0 * np.sin(np.deg2rad(moves / 2)), abs=0.3)
    if moves:
        assert after[2] > before[2] - 0.1  # seen at a place: what lay further up before the jaw went down
        assert after[1] < before[1]  # and further in front


def test_air_lies_between_the_teeth_and_not_in_lips_or_cheeks(specimen: Specimen) -> None:
    for radius, air in ((60.0, True), (100.0, False), (20.0, False)):
        _, mm = _at_the_joints(specimen, TEETH_MEET + 6, radius)
        gap = open_mouth(mm, specimen, 12.0)
        assert gap is not None
        assert bool(gap.all()) is air
    blind = replace(specimen, centres_mm_xyz={})
    assert open_mouth(mm, blind, 12.0) is None


def test_an_open_mouth_leaves_the_eyes_where_they_are(specimen: Specimen) -> None:
    still, opened = _draw(specimen, STILL), _draw(specimen, replace(STILL, mouth=1.0))
    assert np.array_equal(still.labels, opened.labels)


def test_a_mass_has_no_label_and_pushes_its_surroundings(specimen: Specimen) -> None:
    plain = _draw(specimen, STILL)
    pushed = [_draw(specimen, replace(STILL, tumour=1.0), seed) for seed in range(6)]
    assert any(not np.array_equal(p.labels, plain.labels) for p in pushed)
    assert all(np.abs(_centre(p.labels, "Eye_L") - _centre(plain.labels, "Eye_L")).max() < 6 for p in pushed)


def test_what_the_field_of_view_cuts_off_has_no_label(specimen: Specimen) -> None:
    for seed in range(6):
        variant = _draw(specimen, replace(STILL, cut=1.0), seed)
        gone = variant.hu == NOTHING_HU
        assert gone.any()
        assert not variant.labels[gone].any()


def test_tissues_keep_their_order_whatever_the_curve() -> None:
    hu = np.array(CURVE_HU, np.float32)
    for seed in range(50):
        assert (np.diff(stray_hu(hu, 1.0, np.random.default_rng(seed))) > 0).all()
    assert np.array_equal(stray_hu(hu, 0.0, np.random.default_rng(0)), hu)


def test_noise_is_as_strong_as_asked() -> None:
    rng = np.random.default_rng(0)
    assert coloured_noise((4, 64, 64), (3.0, 1.0, 1.0), 20.0, rng).std() == pytest.approx(20.0, rel=0.01)
    assert smooth_noise((30, 60, 60), (3.0, 2.0, 2.0), 12.0, rng).std() == pytest.approx(1.0, abs=0.35)


def test_thick_slices_mix_neighbours_and_thin_ones_do_not() -> None:
    hu = np.zeros((16, 8, 8), np.float32)
    hu[8:] = 1000.0
    metal = np.zeros(hu.shape, bool)
    mixed = {}
    for thick in (1.5, 5.0):
        out = scan(hu, metal, (1.5, 1.0, 1.0), 2, replace(STILL, slice_mm=(thick, thick)), np.random.default_rng(0))
        assert out.shape == (8, 8, 8)
        mixed[thick] = int(((out[:, 4, 4] > 50) & (out[:, 4, 4] < 950)).sum())
        assert out[0, 4, 4] == pytest.approx(0.0, abs=1.0)
        assert out[-1, 4, 4] == pytest.approx(1000.0, abs=1.0)
    assert mixed[5.0] > mixed[1.5]


def test_masks_headrests_and_couch_stay_outside_the_body() -> None:
    hu = np.full((4, 60, 60), -1000.0, np.float32)
    outside = np.ones(hu.shape, bool)
    outside[:, 15:35, 15:45] = False
    hu[~outside] = 40.0
    add_surroundings(
        hu, outside, (1.5, 2.0, 2.0), replace(STILL, mask=1.0, rest=1.0, couch=1.0), np.random.default_rng(0)
    )
    assert (hu[~outside] == 40.0).all()
    assert (hu[outside] > -500).any()


def test_every_trick_can_be_left_out() -> None:
    wide, none = Variety(), Variety.none()
    assert all(getattr(wide, item.name) != getattr(none, item.name) for item in fields(Variety))


def test_a_painted_head_survives_its_file(specimen: Specimen, tmp_path: Path) -> None:
    save_specimen(tmp_path / "p01.npz", specimen)
    again = load_specimen(tmp_path / "p01.npz")
    assert np.array_equal(again.hu, specimen.hu)
    assert np.array_equal(again.kind, specimen.kind)
    assert (again.geometry, again.contoured, again.centres_mm_xyz) == (
        specimen.geometry,
        specimen.contoured,
        specimen.centres_mm_xyz,
    )
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match=r"bad\.npz is not a painted head"):
        load_specimen(tmp_path / "bad.npz")


def test_chiasm_and_pituitary_are_modelled_between_nerves_and_brainstem(specimen: Specimen) -> None:
    centres = specimen.centres_mm_xyz
    nerves = np.mean([centres["OpticNrv_L"], centres["OpticNrv_R"]], axis=0)
    for organ in ("OpticChiasm", "Pituitary"):
        assert abs(centres[organ][0] - nerves[0]) < 5.0
        assert centres[organ][1] > nerves[1] + 5.0
    assert centres["OpticChiasm"][2] > centres["Pituitary"][2]


def test_air_metal_and_outside_are_told_apart(specimen: Specimen) -> None:
    assert specimen.hu[specimen.kind == OUTSIDE].max() < -500
    assert (specimen.hu[specimen.kind == METAL] > 2000).all()
    assert not specimen.labels[specimen.kind == OUTSIDE].any()


def test_the_command_writes_variants_that_training_reads(tmp_path: Path) -> None:
    labels = write_bit_masks(tmp_path / "oars")
    case = split_cases(BitMaskFolder.open(labels), Recipe())["train"][0]
    command = [
        "simulate",
        str(labels),
        "-o",
        str(tmp_path / "data"),
        "--cases",
        case,
        "--variants",
        "2",
        "--region",
        "base",
    ]
    assert main([*command, "--spacing-mm", "4", "4", "6"]) == 0
    source = open_dataset(tmp_path / "data")
    assert {"OpticChiasm", "Pituitary", "Lens_L"} <= set(source.organs)
    first, second = source.cases("train")
    assert (first.name, second.name) == (f"{case}-v000", f"{case}-v001")
    assert not np.array_equal(first.hu, second.hu)
    assert "Eye_L" in first.centroids_mm_xyz
    index = json.loads((tmp_path / "data" / "dataset.json").read_text())
    assert index["modelled"] == ["OpticChiasm", "Pituitary"]
    assert main(command) == 2  # it is there already


def test_variants_of_the_small_region_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = write_bit_masks(tmp_path / "oars")
    assert main(["simulate", str(labels), "-o", str(tmp_path / "data"), "--variants", "2", "--region", "small"]) == 2
    assert "--region head or base" in capsys.readouterr().err
