"""``focusnet collect``: an approved case goes into a training set, and what training reads is what was approved."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from focusnet.cli.main import main
from focusnet.datasets.check import check_dataset
from focusnet.datasets.collected import read_collection
from focusnet.datasets.open_dataset import open_dataset
from focusnet.image.body import body_center_mm
from focusnet.image.orientation import to_upright
from focusnet.image.segmentation import Segmentation
from focusnet.io.read import read_segmentation, read_volume

from ..cli.test_export_command import reviewed
from ..helpers_collect import (
    APPROVED,
    SECRETS,
    collect,
    corrected,
    everything_in,
    review_tags,
    reviewed_case,
    scan_and_result,
)
from ..helpers_outputs import stored_as


def test_training_reads_the_approved_organs_and_knows_nothing_of_the_others(tmp_path: Path) -> None:
    case = reviewed_case(tmp_path / "in", dicom=True)
    assert collect(case, tmp_path / "set") == 0
    dataset = open_dataset(tmp_path / "set")
    (name,) = dataset.patients("train")
    read = dataset.case("train", name)
    assert read.contoured == set(APPROVED)
    now = read_segmentation(case.seg)
    for organ in APPROVED:
        assert np.count_nonzero(read.labels == 1 + dataset.organs.index(organ)) == np.count_nonzero(now.mask(organ))
        center = now.geometry.index_to_mm(np.argwhere(now.mask(organ)).mean(axis=0))
        assert read.centroids_mm_xyz[organ] == pytest.approx(tuple(center), abs=0.01)


def test_the_ct_is_cropped_and_keeps_every_voxel_and_the_place_of_the_networks_crop(tmp_path: Path) -> None:
    case = reviewed_case(tmp_path / "in", dicom=True)
    assert collect(case, tmp_path / "set") == 0
    whole, kept = read_volume(case.ct), read_volume(read_collection(tmp_path / "set").cases[0].ct)
    array, upright, _, _ = to_upright(whole.array, whole.geometry)
    assert kept.array.dtype == np.int16
    assert kept.array.size < 0.9 * array.size
    assert kept.array.shape[0] == array.shape[0]
    start = np.round(upright.mm_to_index(kept.geometry.index_to_mm(np.zeros(3)))).astype(int)
    z, y, x = (slice(a, a + n) for a, n in zip(start, kept.array.shape, strict=True))
    assert np.array_equal(array[z, y, x], kept.array)
    assert body_center_mm(kept.array, kept.geometry) == pytest.approx(body_center_mm(array, upright), abs=1e-3)


def test_nothing_in_the_folder_names_the_patient(tmp_path: Path) -> None:
    case = reviewed_case(tmp_path / "Mustermann", dicom=True)
    assert collect(case, tmp_path / "set") == 0
    assert collect(case, tmp_path / "set", "--keep-both", "--patient", "MRN-4711-0815") == 0
    found = everything_in(tmp_path / "set")
    assert len(found) > 50_000
    assert [secret for secret in SECRETS if secret.encode() in found] == []
    assert str(tmp_path).encode() not in found
    before = b"".join(path.read_bytes() for path in sorted(case.ct.iterdir())) + case.seg.read_bytes()
    assert [secret for secret in SECRETS if secret.encode() not in before] == []  # the test can fail


def test_the_case_says_which_model_drew_it_and_what_was_corrected(tmp_path: Path) -> None:
    assert collect(reviewed_case(tmp_path / "in", dicom=True), tmp_path / "set") == 0
    (case,) = read_collection(tmp_path / "set").cases
    assert case.model == {"name": "han7-test", "version": "1.2", "bundle_sha256": "ab" * 32}
    assert {name: facts["as_drawn"] for name, facts in case.organs.items()} == {
        "Brainstem": True,
        "Parotid_L": False,
        "Parotid_R": True,
    }
    assert case.audit is not None
    audit = {row["organ"]: row for row in case.audit["organs"]}
    assert set(audit) == set(APPROVED)
    assert audit["Parotid_L"]["added_path_mm"] > 0
    assert audit["Parotid_L"]["active_s"] == 61.5
    assert audit["Brainstem"]["added_path_mm"] == 0
    assert case.model_labels is not None
    drawn, (_, expected) = read_segmentation(case.model_labels), scan_and_result()
    assert {r.organ.name for r in drawn.results} == {
        r.organ.name for r in expected.results
    }  # also what nobody approved
    assert drawn.mask("Parotid_L").sum() == expected.mask("Parotid_L").sum()


def test_without_the_models_copy_it_is_still_known_which_organs_were_left_as_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = reviewed_case(tmp_path / "in")
    assert main(["collect", str(case.seg), "--ct", str(case.ct), "--into", str(tmp_path / "set"), "--consent"]) == 0
    assert "Without --model-copy it is not known what was corrected" in capsys.readouterr().err
    (found,) = read_collection(tmp_path / "set").cases
    assert found.audit is None
    assert found.model_labels is None
    assert {n: f["as_drawn"] for n, f in found.organs.items()} == {
        "Brainstem": True,
        "Parotid_L": False,
        "Parotid_R": True,
    }


def test_a_confirmed_absence_is_known_and_an_organ_that_nobody_approved_is_not(tmp_path: Path) -> None:
    case = reviewed_case(tmp_path / "in", approve=("Brainstem", "Bone_Mandible_L"), remove=("Bone_Mandible_L",))
    assert collect(case, tmp_path / "set") == 0
    dataset = open_dataset(tmp_path / "set")
    read = dataset.case("train", dataset.patients("train")[0])
    assert read.contoured == {"Brainstem", "Bone_Mandible_L"}
    assert "Bone_Mandible_L" not in read.centroids_mm_xyz
    assert read.warnings == ()


def test_the_check_of_data_sets_reads_ten_patients_and_finds_nothing_wrong(tmp_path: Path) -> None:
    for patient in range(1, 11):
        assert collect(reviewed_case(tmp_path / str(patient), patient), tmp_path / "set") == 0
    dataset = open_dataset(tmp_path / "set")
    assert {split: len(dataset.patients(split)) for split in dataset.splits()} == {"train": 6, "val": 2, "test": 2}
    assert dataset.notes[0].startswith("Consent to keep copies of patients' scans in")
    report = check_dataset(dataset)
    assert report.usable, report


def test_case_json_is_what_the_documentation_shows(tmp_path: Path) -> None:
    assert collect(reviewed_case(tmp_path / "in"), tmp_path / "set") == 0
    (case,) = read_collection(tmp_path / "set").cases
    found = json.loads((case.folder / "case.json").read_text(encoding="utf-8"))
    text = (Path(__file__).parents[3] / "docs" / "learning.md").read_text(encoding="utf-8")
    shown = json.loads(text.split("`case.json`, format 1:\n```json\n")[1].split("```")[0])
    assert set(found) == set(shown)
    assert set(next(iter(found["organs"].values()))) == set(next(iter(shown["organs"].values())))


def test_another_order_of_axes_than_the_cts_is_put_right(tmp_path: Path) -> None:
    """As programs store a scan their own way: slices from the head down, columns from the left."""
    straight = reviewed_case(tmp_path / "straight")
    _, drawn = scan_and_result()
    now = corrected(drawn)
    turned = [
        Segmentation(*stored_as(s.labels, s.geometry, (0, 1, 2), (True, False, True)), s.results, s.provenance)
        for s in (drawn, now)
    ]
    seg = reviewed(turned[1], tmp_path / "turned.seg.nrrd", review_tags(turned[0], turned[1], APPROVED))
    assert collect(straight, tmp_path / "one") == 0
    assert collect(replace(straight, seg=seg), tmp_path / "two") == 0
    (one,), (two,) = (read_collection(tmp_path / name).cases for name in ("one", "two"))
    assert np.array_equal(read_segmentation(one.label).labels, read_segmentation(two.label).labels)
    assert one.organs == two.organs


def test_collecting_needs_no_torch(tmp_path: Path) -> None:
    """Slicer collects before PyTorch is installed, and need not wait for it to load afterwards."""
    case = reviewed_case(tmp_path / "in")
    words = ["collect", case.seg, "--ct", case.ct, "--into", tmp_path / "set", "--model-copy", case.model, "--consent"]
    code = (
        "import sys\nsys.modules['torch'] = None\nfrom focusnet.cli.main import main\n"
        f"sys.exit(main({[str(word) for word in words]!r}))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert len(read_collection(tmp_path / "set").cases) == 1
