"""What ``focusnet datasets check`` says to somebody who made a mistake: one line about one thing, in words that lead on."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from focusnet.cli.main import main
from focusnet.datasets.check import as_text, check_dataset
from focusnet.datasets.gap_slices import find_gap_slices
from focusnet.datasets.in_air import organs_in_air
from focusnet.datasets.open_dataset import open_dataset
from focusnet.datasets.sides import upside_down
from focusnet.errors import DatasetError
from focusnet.image.organs import ORGANS, nearest_organ

from ...paths import ROOT
from ..helpers_layouts import PAIRS_TOML, write_pairs


def check(folder: Path, toml: str = PAIRS_TOML) -> str:
    (folder / "dataset.toml").write_text(toml)
    return as_text(check_dataset(open_dataset(folder)))


def test_every_line_of_the_tables_fits_80_columns(tmp_path: Path) -> None:
    said = check(write_pairs(tmp_path))
    table = said.split("\n\n")[1:3]
    assert table[1].splitlines()[1].split() == [
        "spacing",
        "mm",
        "5.00",
        "to",
        "5.00",
        "(5.00)",
        "5.00",
        "to",
        "5.00",
        "(5.00)",
        "6.00",
        "to",
        "6.00",
        "(6.00)",
    ]
    assert max(len(line) for part in table for line in part.splitlines()) <= 80


def test_organs_without_contours_are_one_line_with_the_list_to_write(tmp_path: Path) -> None:
    """An RTSTRUCT template or a challenge's numbers name twenty organs; a data set has some. The list works as it is printed."""
    folder = write_pairs(tmp_path)
    more = PAIRS_TOML.replace("[splits]", '4 = "OpticChiasm"\n5 = "Pituitary"\n[splits]')
    said = check(folder, more)
    use = 'use = ["Brainstem", "Parotid_R", "Parotid_L"]'
    assert (
        f"error: OpticChiasm, Pituitary are contoured in no case of train. Leave them out with {use} in dataset.toml, "
        "or move a patient who has them to train.\n\n1 error, 0 warnings"
    ) in said
    assert "0 errors, 0 warnings: usable." in check(folder, f"{use}\n{more}")


def test_an_organ_that_is_only_in_train_is_warned_of(tmp_path: Path) -> None:
    folder = write_pairs(
        tmp_path, edit=lambda n, hu, labels: (hu, np.where((labels == 1) & (n == 2), 0, labels).astype(np.uint8))
    )
    said = check(folder)
    assert "warning: Brainstem is contoured in no case of val" in said
    assert "0 errors, 1 warning: usable." in said


def test_every_value_without_a_name_is_said_at_once(tmp_path: Path) -> None:
    def edit(number: int, hu: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        labels = labels.copy()
        labels[0, 0, :3] = (9, 11, 11)
        return hu, labels

    said = check(write_pairs(tmp_path, edit=edit))
    assert (
        "error: p1: the label values 9 (1 voxel), 11 (2 voxels) are outside the table; name them under [organs]" in said
    )


def test_a_misspelt_organ_is_asked_about_and_never_taken(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path)
    with pytest.raises(DatasetError, match=r"organs\.1 names 'Brainstemm', which is no organ .* Is Brainstem meant\?"):
        check(folder, PAIRS_TOML.replace("Brainstem", "Brainstemm"))
    assert nearest_organ("Parotis L").name == "Parotid_L"  # type: ignore[union-attr]
    assert nearest_organ("Optic nerve") is None  # which side would be a guess
    assert nearest_organ("PTV") is None


def test_the_names_to_use_are_where_the_message_says_they_are() -> None:
    text = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
    assert all(f"`{organ.name.removesuffix('_L').removesuffix('_R')}`" in text for organ in ORGANS)


def test_a_table_that_is_there_is_not_to_be_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_pairs(tmp_path)
    assert main(["datasets", "check", str(folder)]) == 2
    assert "'focusnet datasets init' writes" in capsys.readouterr().err
    (folder / "dataset.toml").write_text("")
    assert main(["datasets", "check", str(folder)]) == 2
    assert f"Name them under [organs] in {folder / 'dataset.toml'}" in capsys.readouterr().err


def test_one_is_singular(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path, 2)
    said = check(folder, PAIRS_TOML.split("[splits]")[0])
    assert "1 patient to train on, 1 to select on." in said
    assert "Every case is taken for a patient of its own; [patients] names those that are not." in said


def test_a_label_map_that_is_shifted_or_upside_down_under_a_right_header_is_found(tmp_path: Path) -> None:
    def edit(number: int, hu: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if number == 0:
            labels = np.roll(labels, labels.shape[2] // 3, axis=2)
        return hu, labels[::-1].copy() if number == 1 else labels

    names = ("Brainstem", "Parotid_L", "Parotid_R", "SpinalCord")
    toml = PAIRS_TOML.replace("[splits]", '4 = "SpinalCord"\n[splits]')
    said = check(write_pairs(tmp_path, names=names, edit=edit), toml)
    assert re.search(
        r"warning: p1: .*Parotid_L.* mostly in air\. Look at it; the contours may be shifted or turned", said
    )
    assert (
        "error: p2: the contours are upside down: Brainstem, Parotid_L, Parotid_R lie below SpinalCord. Turn the label map"
        in said
    )
    assert "p3" not in said


def test_an_organ_that_was_drawn_on_every_other_slice_is_found(tmp_path: Path) -> None:
    drawn: list[int] = []

    def edit(number: int, hu: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if number == 0:
            slices = np.flatnonzero((labels == 2).any(axis=(1, 2)))
            for z in slices[1:-1:2]:
                labels[z][labels[z] == 2] = 0
            drawn.extend([len(slices[1:-1:2]), len(slices)])
        return hu, labels

    said = check(write_pairs(tmp_path, edit=edit))
    assert drawn[0] > 1
    assert (
        f"warning: p1: slices without a voxel between the first and the last of an organ: Parotid_L ({drawn[0]} of {drawn[1]}). Look at it;"
        in said
    )
    assert said.count("slices without a voxel") == 1


@pytest.mark.slow
def test_of_the_real_contours_few_skip_slices(real_data: Path) -> None:
    dataset = open_dataset(real_data / "openkbp")
    cases = [(s, n) for s in dataset.splits() for n in dataset.patients(s)]
    found = {n: set(organs) for s, n in cases if (organs := find_gap_slices(dataset.read(s, n)))}
    assert found == {
        "pt_151": {"SpinalCord"},
        "pt_203": {"SpinalCord"},
        "pt_206": {"SpinalCord"},
        "pt_78": {"Esophagus"},
    }


def test_places_that_prove_nothing_are_not_called_upside_down() -> None:
    assert upside_down({"Brainstem": (0, 0, 0), "Parotid_L": (0, 0, 50)}) == ""  # nothing of the neck
    assert upside_down({"Brainstem": (0, 0, 0), "SpinalCord": (0, 0, 4)}) == ""


@pytest.mark.slow
def test_of_the_real_contours_hardly_any_is_said_to_lie_in_air(real_data: Path) -> None:
    dataset = open_dataset(real_data / "openkbp")
    cases = [(s, n) for s in dataset.splits() for n in dataset.patients(s)]
    found = {n: organs for s, n in cases if (organs := organs_in_air(dataset.read(s, n)))}
    assert found == {"pt_89": ("Esophagus",)}


def test_a_linked_case_is_read_and_a_link_to_nowhere_is_named(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "Fälle mit Lücken")
    (folder / "p1").rename(tmp_path / "Müller, Jörg (1)")
    try:
        (folder / "p1").symlink_to(tmp_path / "Müller, Jörg (1)", target_is_directory=True)
    except OSError:
        pytest.skip("this system does not let us make links")
    assert "0 errors, 0 warnings: usable." in check(folder)
    (tmp_path / "Müller, Jörg (1)").rename(tmp_path / "gone")
    with pytest.raises(DatasetError, match=r"Case p1: there is a link to .*, where nothing is\. Add what is missing"):
        check(folder)
    assert "note: Not read, being no whole case: p1 (a link to" in check(folder, PAIRS_TOML.split("[splits]")[0])


def test_images_that_do_not_lie_in_a_folder_per_case_are_told_where_to_go(tmp_path: Path) -> None:
    one = write_pairs(tmp_path / "pairs") / "p1"
    with pytest.raises(DatasetError, match=r"holds ct\.mha, label\.mha\. If it is one case, give the folder above it"):
        open_dataset(one)
    for folder, file in (("imagesTr", "ct.mha"), ("labelsTr", "label.mha")):
        (tmp_path / "nnunet" / folder).mkdir(parents=True)
        (one / file).rename(tmp_path / "nnunet" / folder / "p1_0000.mha")
    with pytest.raises(
        DatasetError, match=r"as for nnU-Net .* put every case's image and label map into a folder of its own"
    ):
        open_dataset(tmp_path / "nnunet")


def test_a_split_that_is_written_twice_loses_no_patient_silently(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path)
    with pytest.raises(DatasetError, match="val and validation are one split; write one list of all its patients"):
        check(folder, PAIRS_TOML.replace('["p1", "p2"]', '["p1"]') + 'validation = ["p2"]\n')


def test_a_file_that_is_empty_or_no_image_is_said_in_our_words(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path)
    (folder / "p1" / "label.mha").write_bytes(b"")
    (folder / "p2" / "ct.mha").write_bytes(b"<html>not found</html>")
    said = check(folder)
    assert "label.mha cannot be read as an image: it is empty (0 bytes). Copy it again." in said
    assert "ct.mha cannot be read as an image: it does not begin as a .mha file does. It may be damaged" in said
    assert "ImageIO" not in said


def test_a_command_to_copy_works_for_a_folder_with_spaces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_pairs(tmp_path / "my cases", 2)
    assert main(["datasets", "init", str(folder)]) == 0
    assert capsys.readouterr().out.endswith(f"focusnet datasets check '{folder}'\n")


def test_init_on_one_case_writes_no_split_without_a_patient(tmp_path: Path) -> None:
    folder = write_pairs(tmp_path, 1)
    assert main(["datasets", "init", str(folder)]) == 0
    text = (folder / "dataset.toml").read_text()
    assert "= []" not in text
    assert "# [splits]  # one patient: add at least one more" in text
    write_pairs(tmp_path / "two", 2)
    assert main(["datasets", "init", str(tmp_path / "two")]) == 0
    assert "\n[splits]\ntrain = [" in (tmp_path / "two" / "dataset.toml").read_text()
