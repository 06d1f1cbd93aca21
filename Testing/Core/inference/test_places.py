"""SOL-Net's place against S-Net's voxels, and left against right, on heat maps and score maps that were made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor

from focusnet.image.organ_volumes import MOST_ML
from focusnet.image.volume import Geometry
from focusnet.inference.backends import ChunkOutput
from focusnet.inference.chunks import OrganLocation
from focusnet.inference.places import NOWHERE, SnetPlace, SnetVoxels, limit_mm, take_places
from focusnet.inference.results import Remarks, say_how_located
from focusnet.inference.two_stage import Grids, TwoStage
from focusnet.nets.config import NetworkConfig

from ..helpers_engine import small_config

GRID = Geometry((16, 32, 32), (3.0, 3.0, 3.0), (0.0, 0.0, 0.0))
ORGANS = ("Lens_R", "Lens_L", "Brain")
RIGHT_EYE, LEFT_EYE = (8, 6, 6), (8, 6, 26)  # x runs to the patient's left
Voxel = tuple[int, int, int]


def config(**changes: object) -> NetworkConfig:
    return small_config(
        organs=ORGANS,
        small_organs=("Lens_R", "Lens_L"),
        spacing_mm_zyx=(3.0, 3.0, 3.0),
        location_threshold=0.6,
        **changes,
    )


@dataclass
class Made:
    """A backend whose networks say what a test wants: organ -> (voxel, value) of S-Net's cube of 3 x 3 x 3 voxels, and of the heat map's places."""

    snet: Mapping[str, tuple[Voxel, float]]
    heat: Mapping[str, list[tuple[Voxel, float]]]
    name: str = "made"
    torch_device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    drawn_at: dict[str, Voxel] = field(default_factory=dict)

    def run(self, ct: Tensor) -> ChunkOutput:
        shape = tuple(ct.shape)
        probabilities = torch.zeros(len(ORGANS) + 1, *shape)
        for organ, ((z, y, x), value) in self.snet.items():
            probabilities[ORGANS.index(organ) + 1, z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2] = value
        probabilities[0] = 1 - probabilities[1:].sum(dim=0)
        heat = torch.zeros(2, *shape)
        for channel, organ in enumerate(("Lens_R", "Lens_L")):
            for place, value in self.heat[organ]:
                heat[channel][place] = value
        return ChunkOutput(probabilities, heat, _coordinates(shape))

    def small_organ(self, organ: str, features: Tensor, ct: Tensor) -> Tensor:
        """Draw the voxel in the middle of the ROI, and keep where in the scan it is."""
        d, h, w = features.shape[2:]
        middle = (d // 2, h // 2, w // 2)
        z, y, x = (int(v) for v in features[(0, slice(None), *middle)])
        self.drawn_at[organ] = (z, y, x)
        out = torch.zeros(d, h, w)
        out[middle] = 0.9
        return out


def _coordinates(shape: tuple[int, ...]) -> Tensor:
    return torch.stack(torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in shape), indexing="ij"))[None]


def run(made: Made, **changes: object) -> tuple[np.ndarray, dict[str, OrganLocation]]:
    seeds = changes.pop("seeds", None)
    settings = {"has_sos": True, "roi_size_zyx": (4, 8, 8), **changes}
    stages = TwoStage(config(**settings), made, 16, check_places=True)  # type: ignore[arg-type]
    labels, locations = stages.segment(torch.zeros(GRID.shape_zyx), Grids(GRID, GRID), seeds)  # type: ignore[arg-type]
    return labels.numpy(), locations


BOTH_EYES = {"Lens_R": (RIGHT_EYE, 0.8), "Lens_L": (LEFT_EYE, 0.8)}


def test_places_on_which_both_networks_agree_are_taken_without_a_word() -> None:
    made = Made(BOTH_EYES, {"Lens_R": [((8, 7, 6), 0.9)], "Lens_L": [(LEFT_EYE, 0.7)]})
    _, found = run(made)
    assert {name: (at.source, at.peak_zyx, at.remark) for name, at in found.items()} == {
        "Lens_R": ("heat map", (8, 7, 6), ""),
        "Lens_L": ("heat map", LEFT_EYE, ""),
    }
    assert made.drawn_at == {"Lens_R": (8, 7, 6), "Lens_L": LEFT_EYE}


def test_where_both_agree_the_place_is_as_sure_as_the_surer_of_them() -> None:
    made = Made(BOTH_EYES, {"Lens_R": [((8, 7, 6), 0.3)], "Lens_L": [(LEFT_EYE, 0.9)]})
    labels, found = run(made)
    at = found["Lens_R"]
    assert (at.source, at.peak, at.likelihood) == ("heat map", pytest.approx(0.3), pytest.approx(0.8))
    assert at.is_sure(0.6)
    assert labels[8, 7, 6] == 1, "SOS-Net draws there"
    assert found["Lens_L"].likelihood == pytest.approx(0.9)
    _, without_sos = run(made, has_sos=False)
    assert not without_sos["Lens_R"].is_sure(0.6), (
        "what is drawn there, S-Net drew: the heat map alone says how sure it is"
    )


def test_where_they_are_far_apart_the_likelier_is_s_nets_place() -> None:
    made = Made(BOTH_EYES, {"Lens_R": [((12, 20, 10), 0.7), (RIGHT_EYE, 0.4)], "Lens_L": [(LEFT_EYE, 0.9)]})
    labels, found = run(made)
    at = found["Lens_R"]
    assert (at.source, at.peak_zyx, at.snet) == ("S-Net", RIGHT_EYE, pytest.approx(0.8))
    assert at.peak == pytest.approx(0.4), "the heat map's value there"
    assert at.second == (pytest.approx(0.7), (12, 20, 10))
    assert at.is_sure(0.6)
    assert not at.seeded
    assert made.drawn_at["Lens_R"] == RIGHT_EYE
    assert labels[RIGHT_EYE] == 1
    assert at.remark == (
        "Its heat map is highest (0.70 of 1) 41 mm from the voxels that S-Net drew (mean probability 0.80); "
        "7 mm are usual at most. The likelier, S-Net's voxels were taken."
    )


def test_where_they_are_far_apart_the_likelier_is_the_heat_maps_place() -> None:
    made = Made(
        {**BOTH_EYES, "Lens_R": ((12, 20, 10), 0.6)}, {"Lens_R": [(RIGHT_EYE, 0.95)], "Lens_L": [(LEFT_EYE, 0.9)]}
    )
    labels, found = run(made)
    at = found["Lens_R"]
    assert (at.source, at.peak_zyx, at.peak) == ("heat map", RIGHT_EYE, pytest.approx(0.95))
    assert at.remark.endswith("The likelier, the heat map's place was taken.")
    assert not at.wrong_side
    assert labels[12, 20, 10] == 0, "S-Net's voxels go where SOS-Net drew"


def test_a_left_organ_is_never_placed_to_the_right_of_its_partner() -> None:
    swapped = Made({}, {"Lens_R": [(LEFT_EYE, 0.9), (RIGHT_EYE, 0.6)], "Lens_L": [(RIGHT_EYE, 0.9), (LEFT_EYE, 0.7)]})
    _, found = run(swapped, heatmap_sigma_voxels=1.0)
    assert {name: (at.source, at.peak_zyx) for name, at in found.items()} == {
        "Lens_R": ("second peak", RIGHT_EYE),
        "Lens_L": ("second peak", LEFT_EYE),
    }
    assert all(at.wrong_side for at in found.values())
    assert found["Lens_L"].remark == (
        "Its heat map is highest (0.90 of 1) where Lens_R is looked for or beyond, which cannot be on the left; "
        "the next likely place (0.70) was taken."
    )


def test_both_of_a_pair_at_one_eye_are_told_apart_by_s_net() -> None:
    made = Made(BOTH_EYES, {"Lens_R": [(RIGHT_EYE, 0.9)], "Lens_L": [((8, 6, 7), 0.95), (LEFT_EYE, 0.1)]})
    _, found = run(made)
    assert (found["Lens_R"].source, found["Lens_R"].peak_zyx) == ("heat map", RIGHT_EYE)
    assert (found["Lens_L"].source, found["Lens_L"].peak_zyx) == ("S-Net", LEFT_EYE)


def test_an_organ_without_another_place_is_looked_for_nowhere() -> None:
    made = Made({}, {"Lens_R": [(RIGHT_EYE, 0.9)], "Lens_L": [(RIGHT_EYE, 0.8)]})
    _, found = run(made)
    assert found["Lens_R"].source == "heat map"
    assert (found["Lens_L"].source, found["Lens_L"].peak) == (NOWHERE, 0.0)
    assert "Lens_L" not in made.drawn_at
    assert not found["Lens_L"].is_sure(0.6)


def test_a_place_that_a_person_gave_is_never_moved() -> None:
    made = Made(BOTH_EYES, {"Lens_R": [(RIGHT_EYE, 0.9)], "Lens_L": [(LEFT_EYE, 0.9)]})
    elsewhere = {"Lens_R": (12, 20, 20)}
    _, found = run(made, seeds=elsewhere)
    assert (found["Lens_R"].source, found["Lens_R"].peak_zyx, found["Lens_R"].remark) == ("seed", (12, 20, 20), "")
    crossed = {"Lens_R": LEFT_EYE, "Lens_L": RIGHT_EYE}
    _, found = run(made, seeds=crossed)
    assert {name: at.peak_zyx for name, at in found.items()} == crossed


def test_without_sos_nets_nothing_is_moved_but_it_is_said() -> None:
    made = Made(BOTH_EYES, {"Lens_R": [((12, 20, 10), 0.7)], "Lens_L": [(LEFT_EYE, 0.9)]})
    _, found = run(made, has_sos=False)
    assert (found["Lens_R"].source, found["Lens_R"].peak_zyx) == ("heat map", (12, 20, 10))
    assert "mm from the voxels that S-Net drew" in found["Lens_R"].remark


def test_without_the_check_each_heat_maps_maximum_is_taken_as_in_the_paper() -> None:
    made = Made(BOTH_EYES, {"Lens_R": [(LEFT_EYE, 0.7)], "Lens_L": [(RIGHT_EYE, 0.9)]})
    stages = TwoStage(config(has_sos=True, roi_size_zyx=(4, 8, 8)), made, 16)
    _, found = stages.segment(torch.zeros(GRID.shape_zyx), Grids(GRID, GRID))
    assert {name: at.peak_zyx for name, at in found.items()} == {"Lens_R": LEFT_EYE, "Lens_L": RIGHT_EYE}


def test_the_surest_part_of_s_nets_voxels_is_its_place_and_specks_are_none() -> None:
    voxels = SnetVoxels(config())
    probabilities = torch.zeros(4, 16, 32, 32)
    probabilities[0] = 1.0
    smaller, across, speck = np.s_[0:2, 0:3, 0:3], np.s_[6:9, 20:23, 20:23], np.s_[0:1, 5:6, 5:6]
    for value, box in ((1, smaller), (1, across), (2, speck)):
        probabilities[(value, *box)], probabilities[(0, *box)] = 0.7, 0.3
    for start in (0, 8):  # the larger part crosses the border of two slabs
        slab = probabilities[:, start : start + 8]
        voxels.add(slab, slab.argmax(dim=0), start)
    places = voxels.places(0.027)
    assert list(places) == ["Lens_R"]
    assert places["Lens_R"].voxel_zyx == (7, 21, 21)
    assert len(places["Lens_R"].voxels_zyx) == 27
    assert places["Lens_R"].probability == pytest.approx(0.7)


def test_a_place_is_far_by_the_size_that_the_organ_can_have() -> None:
    assert limit_mm("Lens_L") == pytest.approx((1500 * 3 / (4 * np.pi)) ** (1 / 3))
    assert {name: round(limit_mm(name)) for name in ("Lens_R", "OpticNrv_L", "Brainstem")} == {
        "Lens_R": 7, "OpticNrv_L": 10, "Brainstem": 28,
    }  # fmt: skip
    assert limit_mm("Spleen") > limit_mm("Brainstem") > max(limit_mm(n) for n in MOST_ML if MOST_ML[n] < 90)
    cube = np.argwhere(np.ones((3, 3, 3)))
    place = SnetPlace((1, 1, 1), cube, 0.8)
    assert place.gap_mm((1, 1, 4), (3.0, 1.0, 1.0)) == 2.0
    assert place.gap_mm((4, 1, 1), (3.0, 1.0, 1.0)) == 6.0
    near = OrganLocation(0.9, (1, 1, 9))
    for spacing, told in ((1.0, False), (1.1, True)):
        grid = Geometry((16, 16, 16), (spacing, spacing, spacing), (0.0, 0.0, 0.0))
        assert bool(take_places({"Lens_L": near}, {"Lens_L": place}, grid)["Lens_L"].remark) == told


def test_a_wrong_side_is_a_warning_and_a_far_place_a_note() -> None:
    for wrong_side in (False, True):
        said = Remarks()
        location = OrganLocation(0.9, (1, 1, 1), remark="Far.", wrong_side=wrong_side)
        say_how_located(said, drawn=True, location=location, config=config())
        assert (said.notes, said.warnings) == (([], ["Far."]) if wrong_side else (["Far."], []))
        assert said.alarms == []
