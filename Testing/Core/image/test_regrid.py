"""A segmentation stored another way lands on the CT's grid voxel for voxel; one that lies between voxels is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from focusnet.errors import InputError
from focusnet.image.regrid import put_on_grid
from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Geometry

from ..helpers_outputs import GRIDS, UPRIGHT, scan_and_organs, segmentation, stored_as


@pytest.mark.parametrize("grid", GRIDS)
def test_any_order_of_axes_comes_back_voxel_for_voxel(grid: str) -> None:
    geometry, axes, flips = GRIDS[grid]
    _, organs = scan_and_organs()
    labels, stored = stored_as(organs.labels, geometry, axes, flips)
    found, notes = put_on_grid(segmentation(labels, stored), geometry)
    assert np.array_equal(found.labels, organs.labels)
    assert found.geometry == geometry
    assert notes == []


def test_a_larger_or_a_cropped_grid_is_cut_and_filled_and_what_leaves_the_ct_is_told() -> None:
    _, organs = scan_and_organs()
    wide = np.pad(organs.labels, 3)
    wide[0, 5, 5:9] = 2  # four voxels of the cord below the CT
    origin = tuple(UPRIGHT.index_to_mm(np.array([-3, -3, -3])))
    found, notes = put_on_grid(
        segmentation(wide, Geometry(wide.shape, UPRIGHT.spacing_mm_xyz, origin)), UPRIGHT, "CT 1"
    )
    assert np.array_equal(found.labels, organs.labels)
    assert notes == ["4 voxels of SpinalCord lie outside CT 1 and were left out."]
    cord = next(r for r in found.results if r.organ.name == "SpinalCord")
    assert cord.volume_ml == pytest.approx(int((organs.labels == 2).sum()) * 0.02)


@pytest.mark.parametrize(
    "change",
    [
        {"origin_mm_xyz": (-40.6, 12.25, -300.0)},
        {"spacing_mm_xyz": (2.02, 2.5, 4.0)},
        {"direction_xyz": GRIDS["oblique"][0].direction_xyz},
    ],
    ids=["half a voxel aside", "another spacing", "turned"],
)
def test_voxels_that_do_not_fall_on_voxels_are_refused_with_both_grids(change: dict[str, object]) -> None:
    _, organs = scan_and_organs()
    moved: Segmentation = replace(organs, geometry=replace(organs.geometry, **change))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"another grid than the CT: 40 x 36 x 30 voxels .* is expected"):
        put_on_grid(moved, UPRIGHT)
