"""Data sets with something wrong in them: the line that a person reads names the case, says what was found and what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from focusnet.cli.main import main
from focusnet.datasets.open_dataset import open_dataset
from focusnet.errors import DatasetError, InputError
from focusnet.io.image_read import read_image

from ..helpers_dataset import write_dataset
from ..helpers_layouts import PAIRS_TOML, patient, write, write_pairs


def _case(folder: Path, file: str) -> Path:
    return folder / "train" / "pt_1" / file


def _edit(path: Path, change: Callable[[np.ndarray], np.ndarray], shift_mm: float = 0.0) -> None:
    image = sitk.ReadImage(str(path))
    changed = sitk.GetImageFromArray(change(sitk.GetArrayFromImage(image)))
    if changed.GetDimension() == 3:
        changed.SetSpacing(image.GetSpacing())
        changed.SetOrigin((image.GetOrigin()[0] + shift_mm, *image.GetOrigin()[1:]))
    sitk.WriteImage(changed, str(path))


def _one_nan(array: np.ndarray) -> np.ndarray:
    array = array.astype(np.float32)
    array[3, 4, 5] = np.nan
    return array


def _colours(path: Path) -> None:
    image = sitk.ReadImage(str(path))
    sitk.WriteImage(sitk.Compose(image, image, image), str(path))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda d: _edit(_case(d, "label.nrrd"), lambda a: a * 0), "has no contour of Brainstem"),
        (lambda d: _edit(_case(d, "label.nrrd"), lambda a: np.where(a == 3, 9, a)), "holds the label value 9"),
        (lambda d: _edit(_case(d, "label.nrrd"), lambda a: np.where(a == 3, 259, a.astype(np.int16))), "value 259"),
        (lambda d: _edit(_case(d, "label.nrrd"), lambda a: np.where(a == 1, 0.5, a)), "have values such as 0.5"),
        (lambda d: _edit(_case(d, "label.nrrd"), lambda a: np.where(a == 1, -1, a.astype(np.int16))), "have values such as -1"),
        (lambda d: _edit(_case(d, "label.nrrd"), _one_nan), "label.nrrd holds voxels that are not numbers"),
        (lambda d: _edit(_case(d, "label.nrrd"), lambda a: a[:-3]), "(32 x 36 x 21 voxels, the CT 32 x 36 x 24)"),
        (lambda d: _edit(_case(d, "label.nrrd"), lambda a: a, 4.0), "(shifted against the CT by 4 x 0 x 0 mm)"),
        (lambda d: _edit(_case(d, "ct.nrrd"), _one_nan), "ct.nrrd holds voxels that are not numbers"),
        (lambda d: _edit(_case(d, "ct.nrrd"), lambda a: a[5]), "ct.nrrd has 2 dimensions"),
        (lambda d: _colours(_case(d, "ct.nrrd")), "and 3 values per voxel"),
        (lambda d: _edit(_case(d, "ct.nrrd"), lambda a: a + 1024), 'write hu_offset = { "pt_1" = -1024 } in dataset.toml'),
        (lambda d: _case(d, "ct.nrrd").unlink(), "ct.nrrd is missing. Copy it there, or exclude the case"),
    ],
)  # fmt: skip
def test_a_bad_case_of_an_openkbp_folder_is_one_line_that_names_it(
    tmp_path: Path, damage: Callable[[Path], object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_dataset(tmp_path, 2, 1)
    damage(folder)
    dataset = open_dataset(folder)
    assert dataset.case("train", "pt_2").labels.any()
    with pytest.raises(DatasetError, match=re.escape(said)) as caught:
        dataset.case("train", "pt_1")
    assert str(caught.value).startswith("Case pt_1")
    assert "\n" not in str(caught.value)
    assert main(["datasets", "check", str(folder)]) == 2
    assert "error: pt_1: " in capsys.readouterr().out


def test_organs_and_offsets_of_an_openkbp_folder_are_mended_in_dataset_toml(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path, 2, 1)
    whole = open_dataset(folder).case("train", "pt_1")
    _edit(_case(folder, "ct.nrrd"), lambda a: a + 1024)
    (folder / "dataset.toml").write_text('use = ["Parotid_L", "Brainstem"]\nhu_offset = { "pt_1" = -1024 }\n')
    dataset = open_dataset(folder)
    case = dataset.case("train", "pt_1")
    assert dataset.organs == ("Parotid_L", "Brainstem")
    assert np.array_equal(case.hu, whole.hu)
    assert np.array_equal(case.labels, np.array([0, 2, 0, 1])[whole.labels])
    assert case.contoured == {"Parotid_L", "Brainstem"}
    (folder / "dataset.toml").write_text('use = ["Lens_L"]\n')
    with pytest.raises(DatasetError, match=r"use names Lens_L; dataset\.json has Brainstem"):
        open_dataset(folder)


def test_voxels_of_an_organ_that_dataset_json_does_not_list_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_dataset(tmp_path)
    index = json.loads((folder / "dataset.json").read_text())
    index["contoured"]["train"]["pt_1"].remove("Parotid_R")
    (folder / "dataset.json").write_text(json.dumps(index))
    assert main(["datasets", "check", str(folder)]) == 0
    assert "warning: pt_1: Parotid_R has voxels, but dataset.json does not list it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (["pt_9"], "contoured.val is ['pt_9']; a table such as"),
        ({"pt_9": "Brainstem"}, "contoured.val.pt_9 is 'Brainstem'; a list of organs"),
    ],
)
def test_a_dataset_json_of_another_form_is_refused_with_its_entry(tmp_path: Path, entry: object, said: str) -> None:
    folder = write_dataset(tmp_path, 1, 1)
    index = json.loads((folder / "dataset.json").read_text())
    index["contoured"]["val"] = entry
    (folder / "dataset.json").write_text(json.dumps(index))
    with pytest.raises(DatasetError, match=re.escape(said)):
        open_dataset(folder)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_voxels_that_are_no_numbers_are_refused_and_not_read_as_soft_tissue(
    tmp_path: Path, ending: str, kind: type
) -> None:
    """ITK makes 0 of them in NIfTI files: in HU that is soft tissue."""
    volume, _ = patient(0)
    array = volume.array.astype(kind)
    path = write(tmp_path / f"ct{ending}", array, volume.geometry)
    assert np.array_equal(read_image(path).array, volume.array)
    array[-1, -1, -1] = np.nan
    write(path, array, volume.geometry)
    with pytest.raises(InputError, match=r"holds voxels that are not numbers .* -1000, in a CT"):
        read_image(path)


def test_a_folder_that_lacks_its_label_map_is_named_and_not_passed_over(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path)
    (folder / "p2" / "label.mha").unlink()
    (folder / "dataset.toml").write_text(PAIRS_TOML)
    with pytest.raises(DatasetError, match=r"Case p2: there is ct\.mha, but no contours.*take it off splits\.train"):
        open_dataset(folder)
    without_splits = PAIRS_TOML.split("[splits]")[0]
    (folder / "dataset.toml").write_text(without_splits)
    assert any("no whole case: p2 (ct.mha" in note for note in open_dataset(folder).notes)
    (folder / "dataset.toml").write_text('exclude = ["p2"]\n' + without_splits)
    assert not any("p2" in note for note in open_dataset(folder).notes)
    for label in folder.rglob("label.mha"):
        label.unlink()
    with pytest.raises(DatasetError, match=r"holds no case: in p1 lies ct\.mha, but no contours"):
        open_dataset(folder)


def test_a_case_in_two_split_folders_is_named_with_its_splits(tmp_path: Path) -> None:
    write_pairs(tmp_path / "train", 2)
    write_pairs(tmp_path / "val", 1)
    (tmp_path / "dataset.toml").write_text(PAIRS_TOML.split("[splits]")[0])
    with pytest.raises(DatasetError, match="a case p1 is in the splits train and val"):
        open_dataset(tmp_path)


def test_a_run_beside_the_cases_is_none_of_them(tmp_path: Path) -> None:
    """People write --out into the folder of the data: the next opening must still see train and val."""
    write_pairs(tmp_path / "train", 2)
    write_pairs(tmp_path / "val", 1)
    (tmp_path / "val" / "p1").rename(tmp_path / "val" / "p9")
    (tmp_path / "dataset.toml").write_text(PAIRS_TOML.split("[splits]")[0])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "training.json").write_text("{}")
    assert open_dataset(tmp_path).patients("val") == ["p9"]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_dataset_toml_from_an_editor_on_windows_is_read(tmp_path: Path, ending: str) -> None:
    folder = write_pairs(tmp_path)
    (folder / "dataset.toml").write_bytes(b"\xef\xbb\xbf" + PAIRS_TOML.replace("\n", ending).encode())
    assert open_dataset(folder).patients("val") == ["p3"]
    (folder / "dataset.toml").write_bytes(PAIRS_TOML.encode("utf-16"))
    with pytest.raises(DatasetError, match="is not UTF-8 text; save it as UTF-8"):
        open_dataset(folder)


def test_a_list_that_was_written_below_a_table_is_said_to_belong_to_the_top(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path)
    (folder / "dataset.toml").write_text(PAIRS_TOML + 'exclude = ["p1"]\n')
    with pytest.raises(DatasetError, match=r"exclude stands below \[splits\].*move it to the top"):
        open_dataset(folder)
