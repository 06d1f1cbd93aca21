"""What preprocessing lost is put back: the scan's own grid, axis order and place, and slabs change nothing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage

from focusnet.errors import InputError
from focusnet.image.orientation import from_upright, to_upright
from focusnet.image.resample import resample_labels
from focusnet.image.volume import Geometry, Volume
from focusnet.inference.preprocess import network_grid, preprocess
from focusnet.inference.restore import (
    StreamingArgmax,
    axis_maps,
    interpolate_axis,
    restore,
    roi_on_target,
    working_grid,
)

from ..helpers_engine import head, reoriented, small_config

ORIENTATIONS = [
    (axes, flips)
    for axes in itertools.permutations((0, 1, 2))
    for flips in [(False,) * 3, (True, False, True), (True,) * 3]
]


@pytest.mark.parametrize(("axes", "flips"), ORIENTATIONS)
def test_any_axis_order_and_flip_is_undone_voxel_for_voxel(
    axes: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> None:
    scan = head((10, 12, 14), (5.0, 4.0, 3.0))
    stored = reoriented(scan, axes, flips)
    upright, geometry, used_axes, used_flips = to_upright(stored.array, stored.geometry)
    assert geometry.same_grid_as(scan.geometry)
    assert np.array_equal(upright, scan.array)
    assert np.array_equal(from_upright(upright, used_axes, used_flips), stored.array)


def test_the_network_sees_the_same_scan_however_it_is_stored() -> None:
    scan = head()
    expected, record = preprocess(scan, small_config())
    for axes, flips in ORIENTATIONS:
        ct, other = preprocess(reoriented(scan, axes, flips), small_config())
        assert other.network.same_grid_as(record.network)
        np.testing.assert_allclose(ct, expected, atol=1e-5)


def test_a_scan_at_the_networks_own_spacing_is_not_interpolated() -> None:
    scan = head((30, 40, 40), (6.0, 6.0, 6.0))
    ct, record = preprocess(scan, small_config())
    start = np.round(scan.geometry.mm_to_index(record.network.index_to_mm(np.zeros(3)))).astype(int)
    part = scan.array[tuple(slice(s, s + n) for s, n in zip(start, ct.shape, strict=True))]
    np.testing.assert_allclose(ct, (np.maximum(part, -1024) + 100.0) / 1000.0, atol=1e-5)


def random_probabilities(shape: tuple[int, int, int], classes: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    noise = np.stack([ndimage.gaussian_filter(rng.normal(size=shape), 1.5) for _ in range(classes)]) * 12
    noise[0] += 0.5
    return (np.exp(noise) / np.exp(noise).sum(axis=0)).astype(np.float32)


@pytest.mark.parametrize("cuts", [(20,), (7, 13), (1, 1, 18), (16, 4), (8, 8, 4)])
def test_slabs_give_the_same_labels_as_interpolating_every_class_at_once(cuts: tuple[int, ...]) -> None:
    network = Geometry((20, 16, 16), (6.0, 6.0, 6.0), (3.0, -2.0, 1.0))
    target = Geometry((52, 41, 47), (2.3, 2.9, 2.5), (-5.0, -4.0, -8.0))
    probabilities = random_probabilities(network.shape_zyx, 6)
    expected = np.zeros(target.shape_zyx, np.uint8)
    maps = axis_maps(target, network)
    full = []
    for channel in probabilities:
        channel = torch.from_numpy(channel)
        for axis in range(3):
            channel = interpolate_axis(channel, maps[axis].lower, maps[axis].weight, axis)
        full.append(channel.numpy())
    inside = tuple(slice(m.first, m.first + len(m)) for m in maps)
    expected[inside] = np.argmax(full, axis=0)
    stream = StreamingArgmax(target, network)
    start = 0
    for cut in cuts:
        stream.add(torch.from_numpy(probabilities[:, start : start + cut]))
        start += cut
    assert np.array_equal(stream.labels, expected)
    assert len(np.unique(expected)) == 6


def test_interpolation_agrees_with_scipy() -> None:
    network = Geometry((12, 10, 8), (6.0, 5.0, 4.0), (0.0, 0.0, 0.0))
    target = Geometry((20, 20, 20), (1.5, 2.0, 3.0), (1.0, 2.0, 3.0))
    values = np.random.default_rng(0).random(network.shape_zyx).astype(np.float32)
    maps = axis_maps(target, network)
    ours = torch.from_numpy(values)
    for axis in range(3):
        ours = interpolate_axis(ours, maps[axis].lower, maps[axis].weight, axis)
    grid = np.meshgrid(*[np.arange(m.first, m.first + len(m)) for m in maps], indexing="ij")
    points = network.mm_to_index(target.index_to_mm(np.stack(grid, axis=-1)))
    theirs = ndimage.map_coordinates(values, np.moveaxis(points, -1, 0), order=1, mode="nearest")
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_small_organs_roi_lands_where_it_was_cut() -> None:
    network = Geometry((20, 16, 16), (6.0, 6.0, 6.0))
    target = Geometry((60, 48, 48), (2.0, 2.0, 2.0))
    probability = torch.zeros(8, 8, 8)
    probability[4, 3, 5] = 1.0
    window, on_target = roi_on_target(probability, (10, 2, 6), target, network)
    peak = np.array(np.unravel_index(int(on_target.argmax()), on_target.shape)) + [w.start for w in window]
    np.testing.assert_allclose(target.index_to_mm(peak), network.index_to_mm(np.array([14, 5, 11])))


def test_an_oblique_scan_gets_its_labels_back_on_its_own_grid() -> None:
    angle = np.deg2rad(12)
    turn = ((np.cos(angle), -np.sin(angle), 0.0), (np.sin(angle), np.cos(angle), 0.0), (0.0, 0.0, 1.0))
    straight = head((60, 96, 88), (2.5, 2.5, 2.5))
    geometry = straight.geometry
    oblique = Geometry(
        geometry.shape_zyx, geometry.spacing_mm_xyz, tuple(np.array(turn) @ geometry.origin_mm_xyz), turn
    )
    _, record = preprocess(Volume(straight.array, oblique), small_config())
    assert record.oblique
    working = working_grid(record)
    points = working.index_to_mm(
        np.stack(np.meshgrid(*[np.arange(n) for n in working.shape_zyx], indexing="ij"), axis=-1)
    )
    ball = (np.linalg.norm(points - [20.0, 10.0, 5.0], axis=-1) < 35).astype(np.uint8)
    back = restore(ball, working, record)
    mine = oblique.index_to_mm(
        np.stack(np.meshgrid(*[np.arange(n) for n in oblique.shape_zyx], indexing="ij"), axis=-1)
    )
    expected = np.linalg.norm(mine - [20.0, 10.0, 5.0], axis=-1) < 35
    assert 2 * (expected & (back > 0)).sum() / (expected.sum() + (back > 0).sum()) > 0.97


def test_the_crop_is_placed_on_the_body_not_on_a_couch() -> None:
    scan = head((30, 60, 60), (5.0, 5.0, 5.0))
    couch = scan.array.copy()
    couch[:, 57:58, :] = 200  # a thin plate below the patient over the whole field
    _, plain = preprocess(scan, small_config())
    _, with_couch = preprocess(Volume(couch, scan.geometry), small_config())
    np.testing.assert_allclose(plain.network.origin_mm_xyz, with_couch.network.origin_mm_xyz, atol=6.0)


def test_an_image_without_a_body_is_refused() -> None:
    with pytest.raises(InputError, match="No body found"):
        preprocess(
            Volume(np.full((10, 30, 30), -1000, np.int16), Geometry((10, 30, 30), (5.0, 5.0, 5.0))), small_config()
        )


def test_labels_keep_their_place_and_value_when_resampled() -> None:
    fine = Geometry((40, 40, 40), (2.0, 2.0, 2.0))
    labels = np.zeros(fine.shape_zyx, np.uint8)
    labels[5:20, 10:30, 10:18] = 3
    labels[25:35, 10:30, 22:38] = 7
    grid = network_grid(fine, np.array([39.0, 39.0, 39.0]), small_config(spacing_mm_zyx=(3.0, 3.0, 3.0)))
    coarse = resample_labels(labels, fine, grid)
    assert set(np.unique(coarse)) == {0, 3, 7}
    for value in (3, 7):
        before = fine.index_to_mm(np.argwhere(labels == value)).mean(axis=0)
        after = grid.index_to_mm(np.argwhere(coarse == value)).mean(axis=0)
        np.testing.assert_allclose(before, after, atol=1.0)
