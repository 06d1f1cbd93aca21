"""Specks are removed and counted; real parts of an organ stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from focusnet.errors import DatasetError
from focusnet.image.volume import Geometry
from focusnet.inference import segment as pipeline
from focusnet.inference.islands import remove_islands, remove_loose_parts
from focusnet.metrics import dice

from ..helpers_engine import head, random_bundle, small_config


def labels_with_parts() -> np.ndarray:
    labels = np.zeros((20, 30, 30), np.uint8)
    labels[2:10, 5:15, 5:15] = 1  # 800 voxels
    labels[15, 25, 25] = 1  # a speck
    labels[12:18, 2:4, 2:4] = 2  # a cord ...
    labels[5:9, 2:4, 2:4] = 2  # ... with a gap
    return labels


def test_a_speck_is_removed_and_a_cord_with_a_gap_is_left_alone() -> None:
    labels = labels_with_parts()
    expected = labels.copy()
    expected[15, 25, 25] = 0
    assert remove_islands(labels, 0.1) == {1: (1, 1)}
    assert np.array_equal(labels, expected)


def test_parts_that_touch_at_a_corner_are_one() -> None:
    labels = labels_with_parts()
    labels[10, 15, 15] = 1
    assert remove_islands(labels, 0.1) == {1: (1, 1)}
    assert labels[10, 15, 15] == 1


def test_one_organ_is_not_an_island_of_another() -> None:
    labels = labels_with_parts()
    labels[5, 8, 8] = 3  # enclosed by organ 1, and all there is of organ 3
    remove_islands(labels, 0.1)
    assert (labels == 3).sum() == 1


def test_nothing_is_removed_unless_the_model_asks_for_it() -> None:
    labels = labels_with_parts()
    assert remove_islands(labels, 0.0) == {}
    assert np.array_equal(labels, labels_with_parts())
    with pytest.raises(DatasetError, match="island_fraction"):
        small_config(island_fraction=1.0)


def test_the_reader_is_told_what_was_removed(tmp_path: Path) -> None:
    """Random weights scatter every organ."""
    scan = head()
    plain = pipeline.segment(scan, random_bundle(tmp_path, small_config(), "plain"), device="cpu")
    clean = pipeline.segment(scan, random_bundle(tmp_path, small_config(island_fraction=0.2), "clean"), device="cpu")
    removed = remove_islands(plain.labels, 0.2)
    assert removed
    assert np.array_equal(clean.labels, plain.labels)
    for result in clean.results:
        assert not [w for w in result.warnings if "too small" in w], "specks that are gone ask for nothing"
        told = [w for w in result.notes if "too small to belong" in w]
        assert len(told) == (result.label in removed)
        if told:
            assert told[0].startswith(f"{removed[result.label][0]} separate part")


def brain_with_a_leak(spacing_mm_zyx: tuple[float, float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Labels (z, y, x) of a ball of 30 mm radius from which a rod of 6 mm leads down to a larger block, and the ball alone. Value 2 lies beside."""
    shape = tuple(round(150 / mm) for mm in spacing_mm_zyx)
    z, y, x = (c * mm for c, mm in zip(np.indices(shape), spacing_mm_zyx, strict=True))
    ball = (z - 100) ** 2 + (y - 75) ** 2 + (x - 75) ** 2 <= 30**2
    rod = (np.abs(y - 75) <= 3) & (np.abs(x - 75) <= 3) & (z > 40) & (z < 100)
    block = (z > 10) & (z < 55) & (np.abs(y - 75) < 40) & (np.abs(x - 75) < 30)
    labels = np.where(ball | rod | block, 1, 0).astype(np.uint8)
    labels[:2, :2, :2] = 2
    return labels, ball


def geometry_of(labels: np.ndarray, spacing_mm_zyx: tuple[float, float, float]) -> Geometry:
    return Geometry(labels.shape, spacing_mm_zyx[::-1])


@pytest.mark.parametrize("spacing_mm_zyx", [(3.0, 1.0, 1.0), (3.0, 4.0, 4.0), (1.0, 1.0, 1.0)])
def test_what_lies_below_the_brain_on_a_thin_neck_is_removed_though_it_be_larger(
    spacing_mm_zyx: tuple[float, float, float],
) -> None:
    labels, ball = brain_with_a_leak(spacing_mm_zyx)
    before = labels.copy()
    removed = remove_loose_parts(labels, [1], geometry_of(labels, spacing_mm_zyx))
    assert dice(labels == 1, ball) > 0.98
    assert removed == {1: int((before == 1).sum() - (labels == 1).sum())}
    assert np.array_equal(labels == 2, before == 2)


def test_the_head_is_where_the_header_says() -> None:
    """The same head stored feet first, its slices along another axis."""
    labels, ball = brain_with_a_leak((3.0, 1.0, 1.0))
    stored, truth = (np.ascontiguousarray(a[::-1].transpose(1, 0, 2)) for a in (labels, ball))
    to_feet, to_back, to_left = (0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)
    columns = (to_left, to_feet, to_back)  # of x, y, z of the array
    direction = tuple(tuple(column[row] for column in columns) for row in range(3))
    remove_loose_parts(stored, [1], Geometry(stored.shape, (1.0, 3.0, 1.0), direction_xyz=direction))
    assert dice(stored == 1, truth) > 0.98


def test_an_organ_that_is_thin_everywhere_stays() -> None:
    labels = np.zeros((40, 40, 40), np.uint8)
    labels[:, 18:22, 18:22] = 1
    before = labels.copy()
    assert remove_loose_parts(labels, [1, 2], geometry_of(labels, (1.0, 1.0, 1.0))) == {}
    assert np.array_equal(labels, before)


def test_the_reader_is_told_of_what_was_removed_below(tmp_path: Path) -> None:
    organ = small_config().organs[0]
    bundle = random_bundle(tmp_path, small_config(uppermost_organs=(organ,)), "compact")
    plain = pipeline.segment(head(), random_bundle(tmp_path, small_config(), "plain"), device="cpu")
    result = pipeline.segment(head(), bundle, device="cpu")
    lost = int((plain.labels == 1).sum() - (result.labels == 1).sum())
    assert (lost > 0) == any("ml below it" in note for note in result.results[0].notes)
    with pytest.raises(DatasetError, match="uppermost_organs"):
        small_config(uppermost_organs=("Nose",))
