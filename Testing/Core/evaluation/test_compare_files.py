"""``focusnet evaluate`` drops nothing without a word: unknown names, empty and skipped contours, organs that a model cannot know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from focusnet.cli.main import main
from focusnet.errors import InputError
from focusnet.evaluation.case_pairs import Comparison, compare_files
from focusnet.image.organs import find_organ
from focusnet.image.segmentation import OrganResult, Segmentation
from focusnet.io.label_map import unknown_organ, write_nifti
from focusnet.io.seg_nrrd import write_seg_nrrd

from ..helpers_images import small_scan

GEOMETRY = small_scan().geometry


def boxes(*names: str) -> Segmentation:
    """One box for each organ, label 1, 2, 3 ... in a row."""
    labels = np.zeros(GEOMETRY.shape_zyx, np.uint8)
    for number in range(len(names)):
        labels[10:20, 10:20, 5 + 8 * number : 11 + 8 * number] = number + 1
    results = tuple(
        OrganResult(organ=find_organ(name) or unknown_organ(name), label=number, found=True, volume_ml=1.0)
        for number, name in enumerate(names, start=1)
    )
    return Segmentation(labels, GEOMETRY, results)


def files(tmp_path: Path, predicted: Segmentation, reference: Segmentation) -> tuple[Path, Path]:
    paths = tmp_path / "ours.seg.nrrd", tmp_path / "theirs.seg.nrrd"
    for path, contours in zip(paths, (predicted, reference), strict=True):
        write_seg_nrrd(contours, path, overwrite=True)
    return paths


def compare(tmp_path: Path, predicted: Segmentation, reference: Segmentation, **options: object) -> Comparison:
    return compare_files(*files(tmp_path, predicted, reference), **options)  # type: ignore[arg-type]


def test_organs_that_the_model_cannot_know_are_listed_and_not_scored_as_zero(tmp_path: Path) -> None:
    found = compare(tmp_path, boxes("Brainstem"), boxes("Brainstem", "Larynx", "Eye_L"))
    assert [(row.organ, row.dsc) for row in found.rows] == [("Brainstem", 1.0)]
    assert (
        "Not scored, because no prediction names them, so the model does not know them: Larynx, Eye_L."
        in found.notes[0]
    )


def test_an_organ_that_is_asked_for_counts_as_missed(tmp_path: Path) -> None:
    found = compare(tmp_path, boxes("Brainstem"), boxes("Brainstem", "Larynx"), organs=["Larynx"])
    assert [(row.organ, row.dsc) for row in found.rows] == [("Larynx", 0.0)]


def test_an_organ_that_the_model_knows_and_did_not_find_counts_as_missed(tmp_path: Path) -> None:
    empty = boxes("Brainstem", "Larynx")
    empty.labels[empty.labels == 2] = 0
    found = compare(tmp_path, empty, boxes("Brainstem", "Larynx"))
    assert [(row.organ, row.dsc) for row in found.rows] == [("Brainstem", 1.0), ("Larynx", 0.0)]
    assert not found.notes


def test_in_folders_an_organ_is_known_if_any_prediction_names_it(tmp_path: Path) -> None:
    for folder in ("ours", "theirs"):
        (tmp_path / folder).mkdir()
    for name, organs in (("a", ("Brainstem", "Larynx")), ("b", ("Brainstem",))):
        write_seg_nrrd(boxes(*organs), tmp_path / "ours" / f"{name}.seg.nrrd")
        write_seg_nrrd(boxes("Brainstem", "Larynx", "Brain"), tmp_path / "theirs" / f"{name}.seg.nrrd")
    found = compare_files(tmp_path / "ours", tmp_path / "theirs")
    assert [(row.case, row.organ, row.dsc) for row in found.rows] == [
        ("a", "Brainstem", 1.0), ("a", "Larynx", 1.0), ("b", "Brainstem", 1.0), ("b", "Larynx", 0.0),
    ]  # fmt: skip
    assert len(found.notes) == 1
    assert "does not know them: Brain." in found.notes[0]


def test_unknown_names_are_listed_with_a_guess_and_can_be_mapped(tmp_path: Path) -> None:
    theirs = boxes("Brainstem", "zz_larynx", "PTV")
    plain = compare(tmp_path, boxes("Brainstem", "Larynx"), theirs)
    assert [row.organ for row in plain.rows] == ["Brainstem"]
    assert plain.notes == [
        "Names that were not recognised, so not scored: zz_larynx (Larynx?), PTV. To score one: --map 'NAME=ORGAN', such as "
        "--map 'zz_larynx=Larynx'."
    ]
    mapped = compare(tmp_path, boxes("Brainstem", "Larynx"), theirs, names={"zz_larynx": "Larynx", "PTV": ""})
    assert [(row.organ, row.dsc) for row in mapped.rows] == [("Brainstem", 1.0), ("Larynx", 1.0)]
    assert not mapped.notes
    with pytest.raises(InputError, match="--map names Laringo, which no file has; there are Brainstem, Larynx, PTV"):
        compare(tmp_path, boxes("Brainstem", "Larynx"), theirs, names={"Laringo": "Larynx"})
    with pytest.raises(InputError, match="two of its organs are Brainstem now"):
        compare(tmp_path, boxes("Brainstem"), theirs, names={"PTV": "Brainstem"})


@pytest.mark.parametrize("halves_first", [True, False])
def test_a_mandible_in_halves_is_compared_as_one_with_a_whole_one_and_it_is_said(
    tmp_path: Path, halves_first: bool
) -> None:
    halves, whole = boxes("Bone_Mandible_R", "Bone_Mandible_L"), boxes("Bone_Mandible", "Larynx")
    whole.labels[whole.labels == 2] = 1
    pair = (halves, whole) if halves_first else (whole, halves)
    found = compare(tmp_path, *pair)
    assert ("Bone_Mandible", 1.0) in [(row.organ, row.dsc) for row in found.rows]
    assert not {"Bone_Mandible_L", "Bone_Mandible_R"} & {row.organ for row in found.rows}
    which = "prediction" if halves_first else "reference"
    assert f"Bone_Mandible_L and Bone_Mandible_R of the {which} were joined into Bone_Mandible" in " ".join(found.notes)


def test_a_reference_that_skips_slices_is_told_of_and_filled_when_asked(tmp_path: Path) -> None:
    theirs = boxes("Brainstem", "Larynx")
    theirs.labels[11:19:2] = 0
    plain = compare(tmp_path, boxes("Brainstem", "Larynx"), theirs)
    assert "Reference: Brainstem, Larynx: The contours skip slices" in plain.notes[0]
    assert plain.rows[0].dsc < 0.8
    filled = compare(tmp_path, boxes("Brainstem", "Larynx"), theirs, fill_slices=True)
    assert filled.rows[0].dsc == 1.0
    assert filled.notes == ["Reference: Brainstem, Larynx: 4 skipped slices were interpolated."]


def test_a_models_own_holes_are_not_filled(tmp_path: Path) -> None:
    ours = boxes("Brainstem")
    ours.labels[11:19:2] = 0
    found = compare(tmp_path, ours, boxes("Brainstem"), fill_slices=True)
    assert found.rows[0].dsc < 0.8


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = (str(p) for p in files(tmp_path, boxes("Brainstem", "Larynx"), boxes("zz_stem", "Eye_L")))
    assert main(["evaluate", ours, theirs]) == 2
    assert "have no organ in common" in capsys.readouterr().err
    assert main(["evaluate", ours, theirs, "--map", "zz_stem=Brain stem"]) == 0
    shown = capsys.readouterr()
    assert "Brainstem          1      0  1.000" in shown.out
    assert "does not know them: Eye_L" in shown.err
    assert main(["evaluate", ours, theirs, "--map", "zz_stem=Brainstm"]) == 2
    assert "'Brainstm' is no organ that is known here (Brainstem?)" in capsys.readouterr().err
    assert main(["evaluate", ours, theirs, "--map", "zz_stem"]) == 2
    assert "NAME=ORGAN is expected" in capsys.readouterr().err


def test_a_label_map_of_the_user_is_treated_the_same(tmp_path: Path) -> None:
    write_nifti(boxes("Brainstem", "zz_larynx"), tmp_path / "ref.nii.gz")
    write_seg_nrrd(boxes("Brainstem", "Larynx"), tmp_path / "ours.seg.nrrd")
    found = compare_files(tmp_path / "ours.seg.nrrd", tmp_path / "ref.nii.gz", names={"zz_larynx": "Larynx"})
    assert [(row.organ, row.dsc) for row in found.rows] == [("Brainstem", 1.0), ("Larynx", 1.0)]
