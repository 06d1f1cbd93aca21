"""A scan whose header names its directions wrongly is found out by how well the model's organs fit it turned, and only where something is odd."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from focusnet.image.organs import find_organ
from focusnet.image.orientation_doubt import DOUBT, doubt_text
from focusnet.image.segmentation import OrganResult
from focusnet.image.volume import Geometry, Volume
from focusnet.inference.orientation_check import (
    CHECK,
    Doubted,
    OrganFit,
    check_orientation,
    in_wrong_order,
    is_suspicious,
)
from focusnet.inference.turns import AS_IT_IS, FLIPS, Turn, exchanges, left_right_axis, turned
from focusnet.progress import silent

from ..helpers_engine import head

PLACES_ZYX = {
    "Brainstem": (34, 24, 20),
    "Bone_Mandible": (22, 8, 20),
    "Larynx": (12, 12, 20),
    "Esophagus": (4, 24, 20),
}  # z to the head
USUAL = {name: {"p1_ml": 10.0, "p50_ml": 20.0, "p99_ml": 40.0} for name in PLACES_ZYX}


def drawn(scan: Volume, places: Mapping[str, tuple[int, int, int]] = PLACES_ZYX, lost: tuple[str, ...] = ()) -> Doubted:
    """What a model drew in ``scan``: a box of about 20 ml an organ; ``lost``: organs without a voxel."""
    labels, results = np.zeros(scan.array.shape, np.uint8), []
    for label, (name, (z, y, x)) in enumerate(places.items(), start=1):
        if name not in lost:
            labels[z - 3 : z + 3, y - 2 : y + 3, x - 2 : x + 3] = label
        organ, volume_ml = find_organ(name), float((labels == label).sum()) * scan.geometry.voxel_ml
        assert organ is not None
        results.append(OrganResult(organ=organ, label=label, found=volume_ml > 0, volume_ml=volume_ml))
    return Doubted(results, labels, scan.geometry, USUAL)


def one_sided() -> Volume:
    """A body that is its own mirror image from left to right and along no other axis."""
    z, y, x = np.indices((30, 36, 32)) - np.array([14.5, 17.5, 15.5])[:, None, None, None]
    hu = np.where((z / 14) ** 2 + ((y + z / 3) / 9) ** 2 + (x / 7) ** 2 < 1, 40, -1000)
    hu[(y > 2) & (z > 0) & (np.abs(x) < 3)] = 700
    return Volume(hu.astype(np.int16), Geometry(hu.shape, (5.0, 5.0, 5.0)))


class Model:
    """Finds every organ where a scan lies as ``truth`` does, and hardly any elsewhere."""

    def __init__(self, truth: np.ndarray) -> None:
        self.truth, self.runs = truth, 0

    def __call__(self, scan: Volume) -> dict[str, OrganFit]:
        self.runs += 1
        mirrored = np.flip(self.truth, 2)  # left and right exchanged: as good to a network
        fits = any(np.array_equal(scan.array, array) for array in (self.truth, mirrored))
        return {name: OrganFit(18.0, 0.95) if fits else OrganFit(2.0 * (name == "Larynx"), 0.7) for name in PLACES_ZYX}


@pytest.mark.parametrize(
    ("flips", "seems"),
    [
        ((False, True, False), "front and back reversed"),
        ((True, False, False), "head and feet reversed"),
        ((True, True, False), "head and feet, and front and back, reversed"),
    ],
)
def test_a_reversed_scan_is_found_and_named(flips: tuple[bool, bool, bool], seems: str) -> None:
    scan = turned(head(), Turn(flips_zyx=flips))
    found = check_orientation(scan, drawn(scan, lost=("Brainstem", "Larynx")), Model(head().array), silent)
    assert found[DOUBT]["seems"] == seems
    assert doubt_text(found).startswith(
        f"The header seems to have {seems}: turned, the scan fits the model's organs to "
    )
    assert "left and right" in doubt_text(found)


def test_exchanged_axes_are_found_where_no_reversal_fits() -> None:
    truth = one_sided()
    scan = turned(truth, Turn((2, 0, 1), (True, False, True)))
    model = Model(truth.array)
    everywhere = dict.fromkeys(PLACES_ZYX, (8, 8, 8))
    found = check_orientation(scan, drawn(scan, everywhere, lost=tuple(PLACES_ZYX)), model, silent)
    assert found[DOUBT]["seems"].startswith("its axes exchanged (what runs ")
    assert model.runs <= 12


def test_an_ordinary_result_costs_no_run() -> None:
    model = Model(head().array)
    assert check_orientation(head(), drawn(head()), model, silent) == {CHECK: "nothing suspicious"}
    assert model.runs == 0


def test_missing_organs_of_a_scan_that_lies_right_are_no_doubt() -> None:
    """A scan that ends above the larynx: turning it does not bring the larynx back."""
    model = Model(head().array)
    found = check_orientation(head(), drawn(head(), lost=("Larynx", "Esophagus")), model, silent)
    assert DOUBT not in found
    assert found[CHECK] == "suspicious, but fits no better turned (4 orientations tried)"


def test_a_model_of_few_organs_is_not_checked_and_says_so() -> None:
    few = {name: PLACES_ZYX[name] for name in ("Brainstem", "Larynx", "Esophagus")}
    found = check_orientation(head(), drawn(head(), few, lost=tuple(few)), Model(head().array), silent)
    assert found == {CHECK: "does not apply: the model has fewer than 4 organs that are not small"}


def test_small_organs_that_were_not_found_are_no_reason_to_doubt_a_scan() -> None:
    lost = drawn(head(), lost=("Larynx", "Esophagus"))
    assert is_suspicious(lost)
    assert not is_suspicious(replace(lost, small=("Larynx", "Esophagus")))


def test_a_model_of_small_organs_is_not_checked_and_says_so() -> None:
    model = Model(head().array)
    found = check_orientation(head(), replace(drawn(head(), lost=("Larynx",)), small=tuple(PLACES_ZYX)), model, silent)
    assert found == {CHECK: "does not apply: the model has fewer than 4 organs that are not small"}
    assert model.runs == 0


def test_organs_in_the_opposite_order_are_suspicious_though_all_are_found() -> None:
    upside_down = {name: (39 - z, y, x) for name, (z, y, x) in PLACES_ZYX.items()}
    assert in_wrong_order(drawn(head(), upside_down))
    assert is_suspicious(drawn(head(), upside_down))
    assert not in_wrong_order(drawn(head()))


def test_volumes_far_from_the_usual_are_suspicious() -> None:
    result = drawn(head())
    absurd = {name: {"p1_ml": 200.0, "p50_ml": 300.0, "p99_ml": 400.0} for name in ("Brainstem", "Larynx")}
    assert not is_suspicious(result)
    assert is_suspicious(Doubted(result.results, result.labels, result.geometry, {**USUAL, **absurd}))


def test_turning_a_scan_and_back_gives_the_scan() -> None:
    scan = head()
    for turn in FLIPS:
        assert np.array_equal(turned(turned(scan, turn), turn).array, scan.array)
    exchanged = turned(scan, Turn((1, 0, 2)))
    assert exchanged.array.shape == (48, 40, 44)
    assert np.array_equal(turned(exchanged, Turn((1, 0, 2))).array, scan.array)


def test_the_turns_are_every_way_to_store_a_scan_but_for_left_and_right() -> None:
    """48 ways to put three axes, in pairs that differ in left and right only."""
    every = {AS_IT_IS, *FLIPS, *(turn for axis in range(3) for turn in exchanges(axis))}
    assert len(every) == 24
    assert {t.axes_zyx + t.flips_zyx[:2] for t in every} == {
        p + f for p in {t.axes_zyx for t in every} for f in product((False, True), repeat=2)
    }


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_axis_of_symmetry_is_found(axis: int) -> None:
    order = [(2, 0, 1), (0, 2, 1), (0, 1, 2)][axis]  # x, the axis of symmetry, becomes ``axis``
    assert left_right_axis(turned(one_sided(), Turn(order))) == axis
