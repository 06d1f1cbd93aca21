"""Organs of several models in one label map: small over large, and what is lost is said."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from focusnet.image.organs import find_organ
from focusnet.image.segmentation import OrganResult, Segmentation
from focusnet.image.volume import Geometry
from focusnet.inference.merge_labels import Part, merge_labels

GRID = Geometry((10, 20, 20), (10.0, 10.0, 10.0), (0.0, 0.0, 0.0))  # 1 ml a voxel
ORDER = ["Brain", "SpinalCanal", "SpinalCord", "Lens_L"]


def part(model: str, boxes: Mapping[str, tuple[slice, slice, slice]], labels_from: int = 1) -> Part:
    """What a model drew: each organ in a box (z, y, x)."""
    labels, results = np.zeros(GRID.shape_zyx, np.uint8), []
    for value, (name, box) in enumerate(boxes.items(), start=labels_from):
        labels[box] = value
        organ = find_organ(name)
        assert organ is not None
        ml = float(np.count_nonzero(labels == value))
        results.append(OrganResult(organ=organ, label=value, found=True, volume_ml=ml))
    return Part(model, Segmentation(labels, GRID, tuple(results)))


@pytest.mark.parametrize("lens_first", [True, False])
def test_a_small_organ_keeps_its_voxels_before_a_large_one(lens_first: bool) -> None:
    brain = part("a", {"Brain": (slice(0, 5), slice(0, 10), slice(0, 10))})
    lens = part("b", {"Lens_L": (slice(4, 8), slice(8, 12), slice(8, 12))}, labels_from=7)
    labels, results = merge_labels([lens, brain] if lens_first else [brain, lens], ORDER, GRID)
    drawn = {r.organ.name: r for r in results}
    assert [r.label for r in results] == [1, 2]
    assert np.count_nonzero(labels == 2) == 4 * 4 * 4
    assert drawn["Lens_L"].volume_ml == 64
    assert drawn["Brain"].volume_ml == 500 - 4 == np.count_nonzero(labels == 1)
    assert drawn["Brain"].notes == ("Overlaps Lens_L of b (4 ml), which keeps the voxels as the smaller organ.",)
    assert drawn["Lens_L"].notes == ()


def test_a_small_organ_that_has_leaked_over_a_large_one_still_wins_and_the_loss_is_a_warning() -> None:
    canal = part("a", {"SpinalCanal": (slice(0, 4), slice(0, 4), slice(0, 4))})
    leaked = part("b", {"Lens_L": (slice(0, 3), slice(0, 10), slice(0, 10))})
    _, (first, second) = merge_labels([canal, leaked], ORDER, GRID)
    assert (first.organ.name, first.volume_ml, second.volume_ml) == ("SpinalCanal", 16, 300)
    assert first.warnings == ("Overlaps Lens_L of b (48 ml), which keeps the voxels as the smaller organ.",)
    assert first.found


def test_of_two_large_organs_the_one_with_fewer_voxels_wins() -> None:
    cord = part("a", {"SpinalCord": (slice(0, 10), slice(4, 6), slice(4, 6))})
    canal = part("b", {"SpinalCanal": (slice(0, 10), slice(3, 7), slice(3, 7))})
    for parts in ([cord, canal], [canal, cord]):
        labels, results = merge_labels(parts, ORDER, GRID)
        assert {r.organ.name: r.volume_ml for r in results} == {"SpinalCanal": 120, "SpinalCord": 40}
        assert labels[5, 4, 4] == 2


def test_an_organ_that_loses_all_its_voxels_is_not_found() -> None:
    canal = part("a", {"SpinalCanal": (slice(0, 1), slice(0, 2), slice(0, 2))})
    lens = part("b", {"Lens_L": (slice(0, 2), slice(0, 3), slice(0, 3))})
    _, (first, _second) = merge_labels([canal, lens], ORDER, GRID)
    assert (first.found, first.volume_ml, first.status) == (False, 0.0, "not found")
    assert "Overlaps Lens_L of b" in first.warnings[0]


def test_labels_without_a_result_are_left_out() -> None:
    both = part(
        "a", {"Brain": (slice(0, 2), slice(0, 5), slice(0, 5)), "SpinalCord": (slice(5, 6), slice(0, 3), slice(0, 3))}
    )
    chosen = Part("a", Segmentation(both.segmentation.labels, GRID, both.segmentation.results[:1]))
    lens = part("b", {"Lens_L": (slice(8, 9), slice(0, 1), slice(0, 1))})
    labels, results = merge_labels([chosen, lens], ORDER, GRID)
    assert [r.organ.name for r in results] == ["Brain", "Lens_L"]
    assert set(np.unique(labels)) == {0, 1, 2}
    assert not labels[5].any()
