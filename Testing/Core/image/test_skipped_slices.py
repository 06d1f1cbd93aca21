"""Slices that contours skip: what is said of them, and what interpolation puts there."""

from __future__ import annotations

import numpy as np
import pytest

from focusnet.image.skipped_slices import fill_skipped, filled_voxels, find_skipped, skipped_sentence

from ..helpers_images import small_scan
from ..helpers_outputs import segmentation


@pytest.mark.parametrize(
    ("drawn", "words"),
    [
        ([3, 4, 5], ""),
        ([3], ""),
        ([], ""),
        ([2, 4, 6, 8], "only every second of 3 mm is drawn"),
        ([0, 3, 6, 9], "only every third of 3 mm is drawn"),
        ([0, 2, 4, 6, 8, 9, 11, 13, 15, 17], "only every second of 3 mm is drawn"),
        ([0, 1, 2, 5, 6], "2 of the 7 between the first and the last have none"),
    ],
)
def test_skipped_slices_are_put_into_words(drawn: list[int], words: str) -> None:
    sentence = skipped_sentence(np.array(drawn, int), 3.0)
    assert words in sentence if words else sentence == ""


def cone() -> np.ndarray:
    """A disc that grows from slice to slice: radius 3, 4, 5 ... voxels."""
    z, y, x = np.ogrid[:11, :40, :40]
    return ((y - 20) ** 2 + (x - 20) ** 2 <= (3 + z) ** 2) & (z > 0)


def test_a_skipped_slice_gets_the_shape_between_its_neighbours() -> None:
    whole = cone()
    holed = whole.copy()
    holed[2::2] = False
    flat, count = filled_voxels(np.flatnonzero(holed), whole.shape, (3.0, 1.0, 1.0))
    filled = np.zeros(whole.size, bool)
    filled[flat] = True
    filled = filled.reshape(whole.shape)
    assert count == 4
    assert np.array_equal(filled[1::2], whole[1::2])
    assert not filled[10].any()  # nothing is drawn beyond the last contour
    for z in range(2, 9, 2):
        dice = 2 * (filled[z] & whole[z]).sum() / (filled[z].sum() + whole[z].sum())
        assert dice > 0.93


def test_a_gap_that_is_too_long_to_be_skipping_stays() -> None:
    holed = cone()
    holed[2:8] = False
    assert filled_voxels(np.flatnonzero(holed), holed.shape, (3.0, 1.0, 1.0))[1] == 0
    assert filled_voxels(np.flatnonzero(holed), holed.shape, (1.0, 1.0, 1.0))[1] == 6


def test_only_background_is_filled_and_the_smaller_organ_goes_first() -> None:
    geometry = small_scan().geometry
    labels = np.zeros(geometry.shape_zyx, np.uint8)
    labels[10:21:2, 10:30, 10:30] = 1
    labels[10:21:2, 15:20, 15:20] = 2
    labels[11, 12, 12] = 3
    organs = segmentation(labels, geometry, ("Brain", "Brainstem", "Larynx"))
    said = find_skipped(organs)
    assert set(said) == {"Brain", "Brainstem"}
    filled, notes = fill_skipped(organs)
    assert filled.labels[11, 12, 12] == 3
    assert (filled.labels[11, 15:20, 15:20] == 2).all()
    assert (filled.labels[11, 10:15, 10:12] == 1).all()
    assert np.array_equal(filled.labels[labels > 0], labels[labels > 0])
    assert sorted(notes) == [
        "Brain: 5 skipped slices were interpolated.",
        "Brainstem: 5 skipped slices were interpolated.",
    ]
    assert filled.results[0].volume_ml > organs.results[0].volume_ml
    assert not find_skipped(filled)
