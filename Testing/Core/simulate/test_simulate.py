"""The CT simulator: real contours stay, grey values are invented within each tissue's window, and everything says so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from focusnet.cli.main import main
from focusnet.datasets.bit_masks import BitMaskFolder, LabelMap, patient_of
from focusnet.datasets.open_dataset import open_dataset
from focusnet.datasets.openkbp import OpenKBPDataset
from focusnet.errors import DatasetError, FocusNetError, InputError
from focusnet.image.volume import Geometry, Volume
from focusnet.io import read_volume
from focusnet.simulate.ct import simulate_ct
from focusnet.simulate.dataset import Recipe, split_cases
from focusnet.simulate.labels import grid_around, label_values, merged_labels, thin_masks

from ..helpers_labels import ALL, GRID_ZYX, SPACING_XYZ, write_bit_masks

COARSE = (2.5, 2.5, 3.0)
# lowest and highest mean HU of an organ; a doctor's windows for a CT at 120 kV, partial volume of these coarse voxels included
WINDOWS = {
    "Brain": (15, 50), "Brainstem": (15, 50), "SpinalCord": (15, 55), "Eye_L": (-40, 60), "Eye_R": (-40, 60), "Lens_L": (10, 110),
    "Lens_R": (10, 110), "OpticNrv_L": (-70, 60), "Parotid_L": (-80, 50), "Parotid_R": (-80, 50), "Glnd_Submand_L": (0, 80),
    "Bone_Mandible": (300, 1500), "Cochlea_L": (150, 1300), "Cochlea_R": (150, 1300), "Glnd_Lacrimal_L": (-70, 80),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bit_masks(tmp_path_factory.mktemp("labels") / "oars")


@pytest.fixture(scope="module")
def label_map(folder: Path) -> LabelMap:
    return BitMaskFolder.open(folder).read("oncologist", "p01")


@pytest.fixture(scope="module")
def scan(label_map: LabelMap) -> tuple[Volume, np.ndarray, dict[str, int]]:
    return _simulated(label_map, 0)


def _simulated(label_map: LabelMap, seed: int) -> tuple[Volume, np.ndarray, dict[str, int]]:
    geometry = grid_around(label_map, COARSE, "head")
    masks, values = thin_masks(label_map, geometry), label_values(label_map.organs)
    labels = merged_labels(masks, values, geometry)
    return simulate_ct(masks, geometry, label_map.centres_mm, seed, "p01"), labels, values


def test_a_seed_is_a_patient(label_map: LabelMap, scan: tuple[Volume, np.ndarray, dict[str, int]]) -> None:
    volume, labels, _ = scan
    again, same_labels, _ = _simulated(label_map, 0)
    other, other_labels, _ = _simulated(label_map, 1)
    assert np.array_equal(again.array, volume.array)
    assert not np.array_equal(other.array, volume.array)
    assert np.array_equal(labels, same_labels)
    assert np.array_equal(labels, other_labels)  # the seed moves grey values, never contours


@pytest.mark.parametrize("organ", WINDOWS)
def test_every_organ_lies_in_its_window(organ: str, scan: tuple[Volume, np.ndarray, dict[str, int]]) -> None:
    volume, labels, values = scan
    low, high = WINDOWS[organ]
    assert low <= volume.array[labels == values[organ]].mean() <= high


def test_no_small_organ_stands_out_by_its_hu(scan: tuple[Volume, np.ndarray, dict[str, int]]) -> None:
    """Everywhere in the scan there is far more tissue of the organ's HU than the organ has voxels."""
    volume, labels, values = scan
    for organ in ("Lens_L", "OpticNrv_R", "Cochlea_L", "Glnd_Lacrimal_R"):
        inside = labels == values[organ]
        low, high = np.percentile(volume.array[inside], (25, 75))
        alike = (volume.array >= low) & (volume.array <= high)
        assert (alike & ~inside).sum() > 20 * (alike & inside).sum()


def test_the_outside_is_air_and_the_head_is_a_head(scan: tuple[Volume, np.ndarray, dict[str, int]]) -> None:
    volume, labels, _ = scan
    assert np.median(volume.array[:, :3]) < -950
    assert (volume.array > 700).mean() > 0.01  # bone
    assert volume.array[labels > 0].min() > -1000
    assert volume.notes == ("Simulated CT over real contours, not a patient's scan.",)


def test_left_stays_left(label_map: LabelMap, scan: tuple[Volume, np.ndarray, dict[str, int]]) -> None:
    volume, labels, values = scan
    for organ in ("Eye", "Parotid", "Cochlea"):
        left, right = (
            volume.geometry.index_to_mm(np.argwhere(labels == values[f"{organ}{side}"]).mean(axis=0))[0]
            for side in ("_L", "_R")
        )
        assert left > 0 > right
        assert abs(left - label_map.centres_mm[f"{organ}_L"][0]) < 1.5


def test_small_organs_lie_over_large_ones(scan: tuple[Volume, np.ndarray, dict[str, int]]) -> None:
    _, labels, values = scan
    for organ in ("Lens_L", "SpinalCord", "OpticNrv_L"):  # in the eye, in the canal, through the eye
        assert (labels == values[organ]).sum() > 0
    assert values["Brain"] != values["Brainstem"]
    assert (labels == values["Brainstem"]).sum() > 300


def test_a_data_set_that_the_trainer_reads(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    arguments = ["simulate", str(folder), "-o", str(out), "--region", "small", "--spacing-mm", "3", "3", "3"]
    assert main(arguments) == 0
    dataset = OpenKBPDataset(out)
    assert set(dataset.splits()) == {"train", "val", "test"}
    case = next(iter(dataset.cases("val")))
    assert case.name == "p01"
    assert {"Lens_L", "Lens_R", "Cochlea_L", "Glnd_Lacrimal_R"} <= set(case.centroids_mm_xyz)
    assert case.centroids_mm_xyz["Lens_L"][0] > 0
    written = sitk.ReadImage(str(out / "val" / "p01" / "ct.nrrd"))
    assert written.GetPixelID() == sitk.sitkInt16
    assert "Simulated CT" in written.GetMetaData("simulated")
    assert any("Simulated CT" in note for note in read_volume(out / "val" / "p01" / "ct.nrrd").notes)
    assert json.loads((out / "dataset.json").read_text())["simulator"]["seed"] == 0
    before = (out / "val" / "p01" / "ct.nrrd").read_bytes()
    assert main(arguments) == 2
    assert "exists" in capsys.readouterr().err
    (out / "dataset.json").unlink()  # a run that was stopped: what is there stays, the rest follows
    (out / "val" / "p01" / "label.nrrd").unlink()
    assert main(arguments) == 0
    assert (out / "val" / "p01" / "ct.nrrd").read_bytes() == before


def test_two_scans_of_a_patient_stay_in_one_split(folder: Path) -> None:
    splits = split_cases(BitMaskFolder.open(folder), Recipe())
    where = {name: split for split, names in splits.items() for name in names}
    assert where["p02a"] == where["p02b"]
    assert where["p01"] == "val"
    assert patient_of("TCGA-CV-A6JO") == "TCGA-CV-A6JO"


@pytest.mark.parametrize(
    ("options", "said"),
    [({"leave_out": ("Brain",)}, "brain"), ({"leave_out": ("Orbit-Lt",)}, "Eye_L"), ({"mirror": True}, "exchanged")],
)
def test_contours_that_do_not_say_where_the_head_is(
    options: dict[str, object], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_bit_masks(tmp_path / "in", {"validation": ["p01"]}, **options)
    assert main(["simulate", str(source), "-o", str(tmp_path / "out"), "--spacing-mm", "4", "4", "4"]) == 2
    line = capsys.readouterr().err
    assert said in line
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_folders_that_are_no_label_maps(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"has no dataset\.json"):
        BitMaskFolder.open(tmp_path)
    (tmp_path / "dataset.json").write_text(json.dumps({"bits": {"Spleen": 0}, "cases": {"test": []}}))
    with pytest.raises(DatasetError, match="none of the names Spleen"):
        BitMaskFolder.open(tmp_path)
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(DatasetError, match="'bits'"):
        BitMaskFolder.open(tmp_path)


def test_a_label_map_without_geometry_is_refused(tmp_path: Path) -> None:
    source = write_bit_masks(tmp_path, {"validation": ["p01"]})
    path = source / "oncologist" / "p01.nrrd"
    header, body = path.read_bytes().split(b"\n\n", 1)
    kept = [line for line in header.splitlines() if not line.startswith((b"space", b"kinds"))]
    path.write_bytes(b"\n".join([*kept, b"spacings: 3 3 3"]) + b"\n\n" + body)
    with pytest.raises(InputError, match="left is"):
        BitMaskFolder.open(source).read("oncologist", "p01")
    dataset = open_dataset(source)  # as training and the check see it
    split = next(s for s in dataset.splits() if dataset.patients(s))
    with pytest.raises(FocusNetError, match="left is"):
        dataset.read(split, dataset.patients(split)[0])


def test_contours_are_interpolated_between_slices_not_moved() -> None:
    """A ball drawn on 3 mm slices has the same centre and volume on another grid."""
    z, y, x = np.indices(GRID_ZYX)
    ball = (x - 30) ** 2 + (y - 40) ** 2 + (z - 50) ** 2 <= 12**2
    source = LabelMap("ball", ball.astype(np.uint32), Geometry(GRID_ZYX, SPACING_XYZ, (5.0, 6.0, 7.0)), {"Brain": 0})
    geometry = grid_around(source, (2.0, 2.0, 4.0), "head")
    labels = merged_labels(thin_masks(source, geometry), {"Brain": 1}, geometry)
    centre = geometry.index_to_mm(np.argwhere(labels).mean(axis=0))
    assert np.allclose(centre, (5 + 90, 6 + 120, 7 + 150), atol=0.3)
    assert abs(labels.sum() * 16 / (ball.sum() * 27) - 1) < 0.03


def test_every_name_of_the_folder_is_an_organ(label_map: LabelMap) -> None:
    assert len(label_map.organs) == len(ALL)
