"""Data sets as people have them: every layout is recognised, reads the same organs, and what cannot be read names the case."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from focusnet.datasets.dataset_toml import default_splits
from focusnet.datasets.file_dataset import Dataset
from focusnet.datasets.open_dataset import open_dataset
from focusnet.errors import DatasetError
from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Geometry
from focusnet.io.seg_nrrd import write_seg_nrrd

from ..helpers_dataset import write_dataset
from ..helpers_layouts import PAIRS_TOML, patient, write, write_han_seg, write_pairs, write_pddca, write_structseg
from ..helpers_outputs import stored_as


def write_pairs_with_table(folder: Path) -> Path:
    write_pairs(folder)
    (folder / "dataset.toml").write_text(PAIRS_TOML)
    return folder


def write_seg_nrrd_cases(folder: Path) -> Path:
    for number in range(3):
        volume, organs = patient(number % 2)
        case = folder / ("train" if number else "val") / f"p{number}"
        write(case / "scan.nrrd", volume.array + np.int16(number), volume.geometry)
        write_seg_nrrd(organs, case / "organs.seg.nrrd")
    return folder


LAYOUTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "pddca": (write_pddca, "PDDCA"),
    "han-seg": (write_han_seg, "HaN-Seg"),
    "structseg": (write_structseg, "StructSeg"),
    "pairs": (write_pairs_with_table, "a folder per case"),
    "seg.nrrd": (write_seg_nrrd_cases, "a folder per case"),
}


def all_cases(dataset: Dataset) -> list[tuple[str, str]]:
    return [(split, name) for split in dataset.splits() for name in dataset.patients(split)]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_back_the_organs_that_were_written(layout: str, tmp_path: Path) -> None:
    write_layout, title = LAYOUTS[layout]
    dataset = open_dataset(write_layout(tmp_path))
    assert title in dataset.layout
    assert {"Brainstem", "Parotid_L", "Parotid_R"} <= set(dataset.organs)
    assert len(all_cases(dataset)) == 3
    assert dataset.patients("train")
    assert dataset.patients("val")
    truths = [patient(seed) for seed in (0, 1)]
    for split, name in all_cases(dataset):
        case = dataset.case(split, name)
        volume, organs = min(truths, key=lambda t: np.abs(case.hu - t[0].array).max())
        assert 0 <= np.abs(case.hu - volume.array).max() <= 2
        for organ in ("Brainstem", "Parotid_L", "Parotid_R"):
            mine = case.labels == dataset.organs.index(organ) + 1
            assert mine.sum() == organs.mask(organ).sum() > 0, (name, organ)
            assert np.array_equal(mine, organs.mask(organ)), (name, organ)
        assert case.centroids_mm_xyz["Parotid_R"][0] < case.centroids_mm_xyz["Parotid_L"][0]


def test_a_scan_stored_upside_down_and_mirrored_gives_the_same_case(tmp_path: Path) -> None:
    volume, organs = patient(0)
    for name, axes, flips in (
        ("p1", (0, 1, 2), (False, False, False)),
        ("p2", (2, 0, 1), (True, False, True)),
        ("p3", (0, 1, 2), (False,) * 3),
    ):
        hu, geometry = stored_as(volume.array, volume.geometry, axes, flips)
        write(tmp_path / name / "ct.nrrd", hu, geometry)
        labels, _ = stored_as(organs.mask("Parotid_L").astype(np.uint8) * 2, organs.geometry, axes, flips)
        write(tmp_path / name / "label.nrrd", labels, geometry)
    (tmp_path / "dataset.toml").write_text(PAIRS_TOML)
    dataset = open_dataset(tmp_path)
    first, second = dataset.case("train", "p1"), dataset.case("train", "p2")
    assert np.array_equal(first.hu, second.hu)
    assert np.array_equal(first.labels, second.labels)
    assert first.labels.any()


def test_organs_that_share_voxels_are_both_whole_and_the_smaller_one_is_trained_on(tmp_path: Path) -> None:
    volume, organs = patient(0)
    eye = organs.mask("Eye_L") | organs.mask("Lens_L") | organs.mask("OpticNrv_L")
    for name in ("a", "b"):
        write(tmp_path / name / "ct.nrrd", volume.array, volume.geometry)
        write(tmp_path / name / "structures" / "Orbit-Lt.nrrd", eye.astype(np.uint8), volume.geometry)
        write(
            tmp_path / name / "structures" / "OpticNerve_L.nrrd",
            organs.mask("OpticNrv_L").astype(np.uint8),
            volume.geometry,
        )
    dataset = open_dataset(tmp_path)
    whole = dataset.read(*all_cases(dataset)[0])
    assert whole.mask("Eye_L").sum() == eye.sum()
    case = dataset.case(*all_cases(dataset)[0])
    nerve = case.labels == dataset.organs.index("OpticNrv_L") + 1
    assert nerve.sum() == organs.mask("OpticNrv_L").sum() > 0
    assert (case.labels > 0).sum() == eye.sum()


def test_unknown_names_are_listed_and_never_guessed(tmp_path: Path) -> None:
    folder = write_pddca(tmp_path)
    for case in folder.iterdir():
        (case / "structures" / "Parotid_L.nrrd").rename(case / "structures" / "Parotid left side.nrrd")
        (case / "structures" / "Chiasm.nrrd").rename(case / "structures" / "Parotid.nrrd")
    dataset = open_dataset(folder)
    assert dataset.organs == ("Brainstem", "Parotid_R")
    assert any("Parotid (3)" in note and "Parotid left side (3)" in note for note in dataset.notes)
    (folder / "dataset.toml").write_text('[organs]\n"Parotid left side" = "Parotid_L"\n"Parotid" = ""\n')
    dataset = open_dataset(folder)
    assert "Parotid_L" in dataset.organs
    assert not any("left out" in note for note in dataset.notes)


def test_the_default_split_is_said_aloud_keeps_patients_whole_and_does_not_move_when_patients_are_added(
    tmp_path: Path,
) -> None:
    dataset = open_dataset(write_pddca(tmp_path))
    assert any("hash of the patient's name" in note for note in dataset.notes)
    few, many = default_splits(f"p{i}" for i in range(100)), default_splits(f"p{i}" for i in range(200))
    assert 10 <= len(few["val"]) <= 30
    assert set(few["val"]) <= set(many["val"])
    assert set(few["train"]) <= set(many["train"])
    (tmp_path / "dataset.toml").write_text('[patients]\n"0522c0000" = "A"\n"0522c0001" = "A"\n"0522c0002" = "B"\n')
    dataset = open_dataset(tmp_path)
    assert sorted(len(dataset.patients(s)) for s in dataset.splits()) == [1, 2]


def test_what_was_contoured_can_be_said_for_a_case_and_for_all(tmp_path: Path) -> None:
    folder = write_pddca(tmp_path)
    (folder / "0522c0001" / "structures" / "Chiasm.nrrd").unlink()
    assert "OpticChiasm" not in by_name(open_dataset(folder), "0522c0001").contoured
    toml = '[contoured]\neverywhere = ["Chiasm"]\n"0522c0002" = ["Brainstem"]\n'
    (folder / "dataset.toml").write_text(toml)
    assert "OpticChiasm" in by_name(open_dataset(folder), "0522c0001").contoured
    only = by_name(open_dataset(folder), "0522c0002")
    assert only.contoured == {"Brainstem"}
    assert set(np.unique(only.labels)) == {0, 1}


def by_name(dataset: Dataset, name: str):
    split = next(s for s, n in all_cases(dataset) if n == name)
    return dataset.case(split, name)


def _rewrite_label(
    folder: Path, change: Callable[[np.ndarray], np.ndarray], move: tuple[float, float, float] = (0, 0, 0)
) -> None:
    volume, organs = patient(1)
    labels = np.zeros(organs.labels.shape, np.uint8)
    labels[organs.mask("Brainstem")] = 1
    origin = tuple(np.add(volume.geometry.origin_mm_xyz, move))
    write(folder / "p2" / "label.mha", change(labels), Geometry(labels.shape, volume.geometry.spacing_mm_xyz, origin))


def _off_by_1024(folder: Path) -> None:
    volume, _ = patient(1)
    write(folder / "p2" / "ct.mha", volume.array + np.int16(1024), volume.geometry)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            lambda d: _rewrite_label(d, lambda a: a, (5.0, 0, 0)),
            "different grids (shifted against the CT by 5 x 0 x 0 mm)",
        ),
        (lambda d: _rewrite_label(d, lambda a: a[:-1]), "different grids"),
        (lambda d: _rewrite_label(d, lambda a: np.where(a == 1, 9, a).astype(np.uint8)), "label value 9"),
        (lambda d: _rewrite_label(d, np.zeros_like), "no contour of"),
        (_off_by_1024, 'hu_offset = { "p2" = -1024 }'),
        (lambda d: (d / "p2" / "ct.mha").write_bytes((d / "p2" / "ct.mha").read_bytes()[:3000]), "cut short"),
        (lambda d: (d / "p2" / "label.mha").write_bytes(b"no image"), "cannot be read"),
    ],
)
def test_a_bad_case_is_one_line_that_names_it(tmp_path: Path, damage: Callable[[Path], object], said: str) -> None:
    folder = write_pairs_with_table(tmp_path)
    damage(folder)
    dataset = open_dataset(folder)
    dataset.case("train", "p1")
    with pytest.raises(DatasetError, match=re.escape(said)) as caught:
        dataset.case("train", "p2")
    assert "p2" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[organs", "not valid TOML"),
        ('[organs]\n1 = "Parotid"\n', "'Parotid', which is no organ that is known here"),
        ('[splits]\ntrain = ["p1", "p2"]\nval = ["p2"]\n', "patient p2 is in the splits train and val"),
        (
            '[organs]\n1 = "Brainstem"\n[patients]\np1 = "A"\np2 = "A"\n[splits]\ntrain = ["p1"]\nval = ["p2", "p3"]\n',
            "patient A (cases p1, p2) is in the splits train and val",
        ),
        (
            '[organs]\n1 = "Brainstem"\n[splits]\ntrain = ["p1"]\nval = ["p9"]\n',
            "p9, which is neither a patient nor a case",
        ),
        ('exclude = ["p9"]\n', "p9, which is no case"),
        ("colour = 1\n", "has colour; known are"),
        ("", "no organ is recognised"),
    ],
)
def test_a_wrong_dataset_toml_is_refused_with_the_key_that_is_wrong(tmp_path: Path, toml: str, said: str) -> None:
    folder = write_pairs(tmp_path)
    (folder / "dataset.toml").write_text(toml)
    with pytest.raises(DatasetError, match=re.escape(said)):
        open_dataset(folder)


def test_an_offset_and_an_exclusion_in_dataset_toml_mend_what_was_refused(tmp_path: Path) -> None:
    folder = write_pairs_with_table(tmp_path)
    _off_by_1024(folder)
    (folder / "dataset.toml").write_text('hu_offset = { "p2" = -1024 }\n' + PAIRS_TOML)
    assert np.array_equal(open_dataset(folder).case("train", "p2").hu, patient(1)[0].array)
    (folder / "dataset.toml").write_text('exclude = ["p2"]\n' + PAIRS_TOML)
    assert open_dataset(folder).patients("train") == ["p1"]


@pytest.mark.parametrize("layout", ["pairs", "openkbp"])
def test_a_folder_that_changes_while_it_is_used_names_the_case(layout: str, tmp_path: Path) -> None:
    folder = write_pairs_with_table(tmp_path) if layout == "pairs" else write_dataset(tmp_path)
    dataset = open_dataset(folder)
    first, second = dataset.patients("train")[:2]
    files = {p.name: p for p in folder.rglob(f"{second}/*")}
    label = next(p for n, p in files.items() if n.startswith("label"))
    label.unlink()
    dataset.case("train", first)
    with pytest.raises(DatasetError, match=f"Case {second}: .*was removed"):
        dataset.case("train", second)
    label.write_bytes(b"another file")
    with pytest.raises(DatasetError, match=f"Case {second}: .*has changed"):
        dataset.case("train", second)


def test_a_patient_in_two_splits_of_an_openkbp_folder_is_refused(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path)
    index = folder / "dataset.json"
    index.write_text(index.read_text().replace("pt_4", "pt_1"))
    with pytest.raises(DatasetError, match="pt_1 is in the splits train and val"):
        open_dataset(folder)


def test_an_empty_or_foreign_folder_says_what_is_known(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(DatasetError, match=r"holds notes\.txt.*Known are"):
        open_dataset(tmp_path)
    with pytest.raises(DatasetError, match="not a folder"):
        open_dataset(tmp_path / "notes.txt")


def test_a_segmentation_is_a_case_only_with_its_ct(tmp_path: Path) -> None:
    _, organs = patient(0)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_seg_nrrd(
            Segmentation(organs.labels, organs.geometry, organs.results), tmp_path / name / "organs.seg.nrrd"
        )
    dataset = open_dataset(tmp_path)
    with pytest.raises(DatasetError, match=r"Case [ab]: .*is missing; the CT"):
        dataset.case(*all_cases(dataset)[0])


@pytest.mark.slow
def test_the_real_pddca_labels_lack_their_ct_and_it_is_said(real_data: Path) -> None:
    dataset = open_dataset(real_data / "pddca-labels")
    assert set(dataset.organs) >= {"OpticChiasm", "OpticNrv_L", "Bone_Mandible", "Glnd_Submand_R"}
    with pytest.raises(DatasetError, match=r"Case 0522c\w+: .*img\.nrrd is missing"):
        dataset.case(*all_cases(dataset)[0])


@pytest.mark.slow
def test_the_real_bit_masks_give_overlapping_shapes_without_ct(real_data: Path) -> None:
    dataset = open_dataset(real_data / "tcia-oars")
    assert len(dataset.organs) == 21
    assert not any("left out" in note for note in dataset.notes)
    name = "oncologist/0522c0014"
    shapes = dataset.read("val", name)
    assert np.isin(shapes.voxels["Lens_L"], shapes.voxels["Eye_L"]).mean() > 0.5
    assert shapes.centroid_mm("Lens_R")[0] < shapes.centroid_mm("Lens_L")[0]
    with pytest.raises(DatasetError, match="no CT; such a data set serves for shapes only"):
        dataset.case("val", name)


def test_skipped_slices_of_a_label_map_are_filled_when_dataset_toml_says_so(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data")
    path = folder / "train" / "pt_1" / "label.nrrd"
    image = sitk.ReadImage(str(path))
    labels = sitk.GetArrayFromImage(image)
    drawn = np.flatnonzero((labels == 1).any(axis=(1, 2)))
    whole = int((labels == 1).sum())
    for z in drawn[1:-1:2]:
        labels[z][labels[z] == 1] = 0
    thin = sitk.GetImageFromArray(labels)
    thin.CopyInformation(image)
    sitk.WriteImage(thin, str(path))

    def voxels(dataset: Dataset) -> int:
        return int((dataset.case("train", "pt_1").labels == 1).sum())

    assert voxels(open_dataset(folder)) == int((labels == 1).sum()) < whole
    (folder / "dataset.toml").write_text("fill_slices = true\n")
    filled = open_dataset(folder)
    assert voxels(filled) == whole
    assert any("interpolated" in sentence for sentence in filled.case("train", "pt_1").warnings)
