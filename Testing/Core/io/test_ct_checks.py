"""Is it a head-and-neck CT in HU? Real scans pass; what cannot be one is refused in one line, what is odd is said."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from focusnet.errors import InputError
from focusnet.image.volume import Geometry, Volume
from focusnet.io import read_volume
from focusnet.io.ct_checks import check_ct

from ..helpers_images import small_scan


def volume_of(array: np.ndarray, spacing_mm_xyz: tuple[float, float, float] = (5.0, 5.0, 6.0)) -> Volume:
    return Volume(array, Geometry(array.shape, spacing_mm_xyz), "the image")  # type: ignore[arg-type]


def windowed(low: int, high: int) -> np.ndarray:
    return np.clip(small_scan().array.astype(np.int32), low, high)


def mr_like() -> np.ndarray:
    """T1-like values: dark air and bone, bright fat."""
    hu = small_scan().array
    signal = np.select([hu < -300, hu < -20, hu < 150], [10, 700, 350], 60)
    return np.abs(signal + np.random.default_rng(0).normal(0, 15, hu.shape)).astype(np.int16)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: np.full((60, 56, 60), 7, np.int16), "every voxel is 7"),
        (lambda: ((np.clip(small_scan().array, -160, 240) + 160.0) * 255 // 400).astype(np.uint8), "8-bit or windowed"),
        (lambda: ((windowed(-160, 240) + 160) * 255 // 400).astype(np.int16), "8-bit or windowed"),
        (lambda: windowed(-160, 240), "none is air"),
        (lambda: windowed(-1024, 240), "none is bone"),
        (lambda: small_scan().array + 1024, "--hu-offset -1024"),
        (lambda: small_scan().array - 1024, "--hu-offset 1024"),
        (lambda: np.abs(np.random.default_rng(0).normal(300, 250, (60, 56, 60))).astype(np.int16), "none is air"),
        (lambda: mr_like(), "none is air"),
        (lambda: np.random.default_rng(0).gamma(1.0, 2.0, (60, 56, 60)).astype(np.float32), "8-bit or windowed"),
        (lambda: np.random.default_rng(0).gamma(1.0, 2000.0, (60, 56, 60)).astype(np.float32), "none is air"),
        (lambda: small_scan().array[:1], "1 slice;"),
        (lambda: np.where(small_scan().array > 300, 1000, -1000).astype(np.int16), "soft tissue"),
    ],
)
def test_images_that_are_no_ct_in_hu_are_refused(make: Callable[[], np.ndarray], words: str) -> None:
    with pytest.raises(InputError) as caught:
        check_ct(volume_of(make()))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_field_of_view_spacing_or_size_that_cannot_be_a_head_is_refused() -> None:
    scan = small_scan().array
    for array, spacing, words in (
        (scan, (1.0, 1.0, 6.0), "field of view is 60 x 56 mm"),
        (scan, (5.0, 2.0, 6.0), "field of view is 300 x 112 mm"),
        (np.repeat(scan, 4, axis=2), (9.0, 9.0, 6.0), "at most 1000 mm"),
        (scan, (5.0, 5.0, 25.0), "0.2 to 10 mm"),
        (scan, (0.01, 0.01, 6.0), "0.2 to 10 mm"),
        (np.broadcast_to(scan[30], (3000, *scan.shape[1:])), (5.0, 5.0, 1.0), "3000 voxels; at most 2000"),
    ):
        with pytest.raises(InputError, match=words):
            check_ct(volume_of(array, spacing))


@pytest.mark.parametrize(
    "spacing", [(0.0, 5.0, 6.0), (-5.0, 5.0, 6.0), (float("nan"), 5.0, 6.0), (float("inf"), 5.0, 6.0)]
)
def test_spacing_that_is_not_a_positive_number_is_refused(spacing: tuple[float, float, float]) -> None:
    with pytest.raises(InputError, match="finite positive numbers"):
        volume_of(small_scan().array, spacing)


def test_sheared_axes_are_refused() -> None:
    with pytest.raises(InputError, match="not perpendicular"):
        Geometry((3, 3, 3), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), ((1.0, 0.2, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))


@pytest.mark.parametrize(
    ("spacing", "slices", "words"),
    [
        ((5.0, 5.0, 8.0), 59, "8.0 mm apart"),
        ((3.0, 3.0, 6.0), 59, "parts of the head"),
        ((5.0, 5.0, 6.0), 9, "covers 54 mm"),
    ],
)
def test_what_is_odd_is_said_but_not_refused(spacing: tuple[float, float, float], slices: int, words: str) -> None:
    warnings = check_ct(
        volume_of(small_scan().array[-30 : -30 + slices] if slices < 59 else small_scan().array, spacing)
    )
    assert any(words in w for w in warnings)


def shifted_and_padded(offset: int, padding: int) -> np.ndarray:
    """Values off from HU, with half of the field filled by a resampling program that pads with ``padding``."""
    array = small_scan().array.astype(np.int32) + offset
    array[: len(array) // 4] = padding
    array[:, :, :6] = padding
    return array


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (lambda: shifted_and_padded(1024, -1024), "--hu-offset -1024"),
        (lambda: shifted_and_padded(1024, -2000), "--hu-offset -1024"),
        (lambda: shifted_and_padded(-1024, -3024), "--hu-offset 1024"),
        (lambda: np.maximum(small_scan().array.astype(np.int32) - 1024, -1024), "wrong or applied twice"),
        (lambda: (small_scan().array.astype(np.int32) + 1024) * 3 // 2 - 1024, "wrong or applied twice"),
    ],
)
def test_a_wrong_offset_is_seen_behind_padding_and_clipping(array: Callable[[], np.ndarray], words: str) -> None:
    with pytest.raises(InputError) as caught:
        check_ct(volume_of(array()))
    assert words in str(caught.value)


def test_a_scan_with_an_empty_quarter_is_not_taken_for_a_label_map() -> None:
    """A resampled or cropped scan may begin with many slices of one value."""
    array = small_scan().array.copy()
    array[: len(array) // 4] = -1024
    array = np.concatenate([np.full((180, *array.shape[1:]), -1024, np.int16), array])
    check_ct(volume_of(array, (5.0, 5.0, 2.0)))


def test_padding_outside_the_field_of_view_and_metal_do_not_matter() -> None:
    array = small_scan().array.astype(np.int32)
    array[:, :3] = array[:, -3:] = -3024
    array[40:43, 20:23, 30:33] = 30_000
    check_ct(volume_of(array.astype(np.int16)))


def test_checking_does_not_copy_a_large_scan() -> None:
    """512 x 512 x 400 voxels are 210 MB; the check may take a sample of them."""
    array = np.broadcast_to(small_scan().array[None, :, :, :], (7, *small_scan().array.shape)).reshape(-1, 56, 60)[:400]
    big = np.tile(array, (1, 9, 8))[:, :504, :480]
    tracemalloc.start()
    check_ct(volume_of(big, (0.9, 0.9, 1.5)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < big.nbytes / 4


def test_every_real_planning_ct_passes(real_data: Path) -> None:
    for path in sorted((real_data / "openkbp" / "val").glob("*/ct.nrrd")):
        check_ct(read_volume(path))


def test_every_real_planning_ct_shifted_by_1024_is_refused_with_the_offset_that_reads_it(real_data: Path) -> None:
    paths = sorted((real_data / "openkbp" / "val").glob("*/ct.nrrd"))
    assert len(paths) == 33
    for path in paths:
        scan = read_volume(path)
        for offset in (1024, -1024):
            with pytest.raises(InputError, match=f"--hu-offset {-offset}"):
                check_ct(Volume(scan.array + np.int16(offset), scan.geometry, path.parent.name))
        with pytest.raises(InputError, match="applied twice"):
            check_ct(Volume(np.maximum(scan.array - np.int16(1024), -1024), scan.geometry, path.parent.name))
