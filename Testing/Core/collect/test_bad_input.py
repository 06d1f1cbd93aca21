"""What cannot be collected is refused in one line, and the training set stays as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from focusnet.cli.main import main
from focusnet.collect.splits import SHARES, choose_split
from focusnet.datasets.collected import read_collection
from focusnet.files.lock import lock_file
from focusnet.io.seg_nrrd import write_seg_nrrd

from ...paths import MODULE
from ..helpers_collect import Reviewed, collect, reviewed_case, scan_and_result
from ..helpers_disk import files_end_at, on_linux, small_disk
from ..helpers_images import write_image


@pytest.fixture
def case(tmp_path: Path) -> Reviewed:
    return reviewed_case(tmp_path / "in")


def refused(case: Reviewed, into: Path, capsys: pytest.CaptureFixture[str], *more: object) -> str:
    """The line that ``focusnet collect`` ends with; the folder stays as it is."""
    before = snapshot(into)
    assert collect(case, into, *more) == 2
    assert snapshot(into) == before
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line.removeprefix("focusnet: ")


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != ".lock"
    }


def test_a_case_with_nothing_approved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(reviewed_case(tmp_path / "in", approve=()), tmp_path / "set", capsys)
    assert line.startswith("reviewed.seg.nrrd has no approved organ, and only approved ones are collected.")
    assert not (tmp_path / "set").exists()


def test_an_organ_that_changed_after_its_approval_is_not_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = {
        "FocusNet.Review": json.dumps({"state": "approved", "approved": {"voxels": 3, "digest": "", "corner_mm": []}})
    }
    case = reviewed_case(tmp_path / "in", approve=("Brainstem",), more_tags={"Parotid_L": stale})
    assert collect(case, tmp_path / "set") == 0
    assert "Parotid_L changed after the approval and was left out" in capsys.readouterr().err
    assert read_collection(tmp_path / "set").cases[0].contoured == ("Brainstem",)
    alone = reviewed_case(tmp_path / "alone", approve=(), more_tags={"Parotid_L": stale})
    assert "Parotid_L changed after the approval." in refused(alone, tmp_path / "set", capsys)


def test_organs_that_were_asked_for_and_are_not_approved(
    case: Reviewed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(case, tmp_path / "set", capsys, "--organs", "Parotid_L,SpinalCord")
    assert line.startswith("reviewed.seg.nrrd: SpinalCord is not approved; approved are Brainstem,")
    assert "is no organ that is known here" in refused(case, tmp_path / "set", capsys, "--organs", "Parotis")
    assert collect(case, tmp_path / "set", "--organs", "left parotid") == 0
    assert read_collection(tmp_path / "set").cases[0].contoured == ("Parotid_L",)


def test_a_ct_on_another_grid_than_its_segmentation(
    case: Reviewed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volume, _ = scan_and_result()
    other = replace(volume, geometry=replace(volume.geometry, spacing_mm_xyz=(5.0, 5.0, 5.5)))
    write_image(other, tmp_path / "other.nrrd")
    line = refused(replace(case, ct=tmp_path / "other.nrrd"), tmp_path / "set", capsys)
    assert line.startswith("reviewed.seg.nrrd: The segmentation lies on another grid than the CT:")
    assert "load both in 3D Slicer" in line
    shorter = replace(
        volume,
        array=volume.array[10:40],
        geometry=replace(volume.geometry, shape_zyx=(30, *volume.geometry.shape_zyx[1:])),
    )
    write_image(shorter, tmp_path / "shorter.nrrd")
    line = refused(replace(case, ct=tmp_path / "shorter.nrrd"), tmp_path / "set", capsys)
    assert line.endswith("lie outside the CT. Give the CT that it was drawn on, whole.")


def test_a_model_copy_of_another_run_or_grid(
    case: Reviewed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, drawn = scan_and_result()
    write_seg_nrrd(
        replace(drawn, provenance={**drawn.provenance, "bundle_sha256": "cd" * 32}), tmp_path / "other.seg.nrrd"
    )
    line = refused(replace(case, model=tmp_path / "other.seg.nrrd"), tmp_path / "set", capsys)
    assert "Give the copy of the run that was corrected." in line
    shifted = replace(drawn.geometry, origin_mm_xyz=(0.0, 0.0, 0.0))
    write_seg_nrrd(replace(drawn, geometry=shifted), tmp_path / "shifted.seg.nrrd")
    line = refused(replace(case, model=tmp_path / "shifted.seg.nrrd"), tmp_path / "set", capsys)
    assert line.startswith("shifted.seg.nrrd: ")


def test_a_file_that_cannot_say_what_is_approved(
    case: Reviewed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(replace(case, seg=case.ct), tmp_path / "set", capsys)
    assert line.startswith("ct.nrrd cannot say which organs are approved; a .seg.nrrd")
    assert "does not exist" in refused(replace(case, seg=tmp_path / "no.seg.nrrd"), tmp_path / "set", capsys)


def test_organs_of_another_naming(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = renamed(reviewed_case(tmp_path / "in"), {"Parotid_L": "Ohrspeichel links neu", "Brainstem": "Tronco"})
    assert collect(case, tmp_path / "set") == 0
    said = capsys.readouterr().err
    assert "Ohrspeichel links neu" in said
    assert "no organ that is known here, left out; name it with --map" in said
    assert set(read_collection(tmp_path / "set").cases[0].contoured) & {"Parotid_L"} == set()
    assert collect(case, tmp_path / "two", "--map", "Ohrspeichel links neu=Parotid_L", "--map", "Tronco=") == 0
    assert set(read_collection(tmp_path / "two").cases[0].contoured) == {"Parotid_L", "Parotid_R"}
    only = renamed(reviewed_case(tmp_path / "only", approve=("Parotid_L",)), {"Parotid_L": "Ohrspeichel links neu"})
    capsys.readouterr()
    line = refused(only, tmp_path / "set", capsys)
    assert "is no organ that is known here, and nothing else is approved; name it with --map" in line


def renamed(case: Reviewed, names: dict[str, str]) -> Reviewed:
    """The reviewed file with segments called as a user calls them."""
    data = case.seg.read_bytes()
    head, end, rest = data.partition(b"\n\n")
    lines = head.decode().split("\n")
    for index, line in enumerate(lines):
        key, _, value = line.partition(":=")
        if key.endswith("_Name") and value in names:
            lines[index] = f"{key}:={names[value]}"
    case.seg.write_bytes("\n".join(lines).encode() + end + rest)
    return case


def test_the_same_patient_twice_is_asked_about(
    case: Reviewed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    into = tmp_path / "set"
    dicom = reviewed_case(tmp_path / "dicom", dicom=True)
    assert collect(dicom, into) == 0
    (first,) = read_collection(into).cases
    capsys.readouterr()
    line = refused(dicom, into, capsys)
    assert line.endswith(f"this patient is there already with this scan ({first.name}); say --replace or --keep-both.")
    assert refused(case, into, capsys) == line  # the same scan without DICOM: still the same patient
    assert collect(dicom, into, "--replace", "--organs", "Brainstem") == 0
    (second,) = read_collection(into).cases
    assert (second.name, second.contoured) == (f"{first.patient}-2", ("Brainstem",))
    assert not first.folder.exists()
    assert collect(dicom, into, "--keep-both") == 0
    assert [c.name for c in read_collection(into).cases] == [f"{first.patient}-2", f"{first.patient}-3"]
    assert {c.split for c in read_collection(into).cases} == {first.split}


def test_another_scan_of_the_patient_is_recognised_by_the_number_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    into = tmp_path / "set"
    assert collect(reviewed_case(tmp_path / "a", 1), into, "--patient", "4711") == 0
    capsys.readouterr()
    again = reviewed_case(tmp_path / "b", 2)
    assert "with another scan" in refused(again, into, capsys, "--patient", " 4711")
    assert collect(again, into, "--patient", "4712") == 0
    assert len({c.patient for c in read_collection(into).cases}) == 2


def test_a_folder_of_another_version_or_kind(
    case: Reviewed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    into = tmp_path / "set"
    assert collect(case, into) == 0
    capsys.readouterr()
    head = json.loads((into / "collection.json").read_text())
    (into / "collection.json").write_text(json.dumps({**head, "format": 2}))
    assert "is a training set of format 2; this version of focusnet reads format 1" in refused(case, into, capsys)
    assert main(["datasets", "check", str(into)]) == 2
    assert "of format 2" in capsys.readouterr().err
    (into / "collection.json").write_text(json.dumps(head)[:20])
    assert "collection.json cannot be read" in refused(case, into, capsys)
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "beach.jpg").write_bytes(b"")
    assert "holds beach.jpg and is no training set" in refused(case, tmp_path / "holiday", capsys)
    assert "is a file" in refused(case, case.ct, capsys)


def test_a_lost_key_is_not_replaced_silently(
    case: Reviewed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert collect(case, tmp_path / "set") == 0
    (tmp_path / "set" / "pseudonym.key").unlink()
    capsys.readouterr()
    assert "pseudonym.key is missing" in refused(case, tmp_path / "set", capsys, "--keep-both")


def test_a_folder_that_another_station_does_not_let_go_of(
    case: Reviewed, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert collect(case, tmp_path / "set") == 0
    capsys.readouterr()
    monkeypatch.setattr("focusnet.collect.folder.WAIT_S", 0.3)
    with lock_file(tmp_path / "set" / ".lock"):
        line = refused(case, tmp_path / "set", capsys, "--keep-both")
    assert line.endswith("has been in use by another program for 0.3 s; nothing was added. Try again.")
    assert collect(case, tmp_path / "set", "--keep-both") == 0


@on_linux
def test_a_full_disk(case: Reviewed, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = reviewed_case(tmp_path / "other", 1)
    assert collect(case, tmp_path / "set") == 0
    capsys.readouterr()
    with files_end_at(20_000):
        line = refused(other, tmp_path / "set", capsys)
    assert "Free some space" in line
    assert list((tmp_path / "set").glob(".case-*")) == []
    assert collect(other, tmp_path / "set") == 0


@on_linux
@pytest.mark.parametrize("pages", range(0, 40, 3))
def test_a_disk_that_fills_up_at_any_point(
    pages: int, case: Reviewed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = reviewed_case(tmp_path / "other", 1)
    with small_disk(tmp_path / "disk", "size=1m") as disk:
        assert collect(case, disk / "set") == 0
        filler = disk / "filler"
        filler.write_bytes(b"\0" * max(0, free(disk) - pages * 4096))
        capsys.readouterr()
        status = collect(other, disk / "set")
        assert status in (0, 2)
        assert len(capsys.readouterr().err.strip().splitlines()) == (1 if status else 2)
        assert len(read_collection(disk / "set").cases) == (1 if status else 2)
        filler.unlink()
        if status:
            assert collect(other, disk / "set") == 0
        assert len(read_collection(disk / "set").cases) == 2


def free(disk: Path) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


def test_consent_is_needed_once_and_told_every_time(
    case: Reviewed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    into = tmp_path / "set"
    words = ["collect", str(case.seg), "--ct", str(case.ct), "--into", str(into)]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "A face can still be made out" in said
    assert "say so with --consent" in said
    assert not into.exists()
    assert main([*words, "--consent"]) == 0
    capsys.readouterr()
    assert main([*words, "--keep-both"]) == 0
    assert f"Consent to keep copies of patients' scans in {into} was given on" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal that a program can answer at")
def test_at_a_terminal_consent_and_what_becomes_of_the_same_patient_are_asked(case: Reviewed, tmp_path: Path) -> None:
    words = ["collect", case.seg, "--ct", case.ct, "--into", tmp_path / "set"]
    assert at_terminal(words, "n\n")[0] == 2
    assert not (tmp_path / "set").exists()
    status, said = at_terminal(words, "y\n")
    assert (status, "May copies of patients' scans be kept there? [y/N]" in said) == (0, True)
    assert at_terminal(words, "q\n")[0] == 2
    status, said = at_terminal(words, "r\n")
    assert (status, "[r]eplace it, [k]eep both, or [q]uit?" in said) == (0, True)
    assert [c.name.rpartition("-")[2] for c in read_collection(tmp_path / "set").cases] == ["2"]


def at_terminal(words: Sequence[object], answer: str) -> tuple[int, str]:
    import pty

    ours, theirs = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-m", "focusnet", *map(str, words)],
        stdin=theirs,
        stderr=theirs,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(MODULE)},
    )
    os.write(ours, answer.encode())
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other side has ended
            break
        if not part:
            break
        said += part
    os.close(ours)
    return done.wait(120), said.decode()


def test_splits_fill_up_evenly_and_never_depend_on_the_order_of_asking_twice() -> None:
    taken: list[str] = []
    for number in range(100):
        taken.append(choose_split(f"{number * 7919:012x}", taken))
        if number >= 4:
            assert set(taken) == set(SHARES)
    assert {split: taken.count(split) for split in SHARES} == {"train": 60, "val": 20, "test": 20}
    assert choose_split("0" * 12, ["train"]) != choose_split(
        "00000001" + "0" * 4, ["train"]
    )  # the hash decides between equals


def test_a_patient_who_was_taken_out_comes_back_into_the_same_split(tmp_path: Path) -> None:
    into = tmp_path / "set"
    for patient in range(1, 4):
        assert collect(reviewed_case(tmp_path / str(patient), patient), into) == 0
    gone = next(c for c in read_collection(into).cases if c.split != "train")
    for path in gone.folder.iterdir():
        path.unlink()
    gone.folder.rmdir()
    for patient in (4, 5):
        assert collect(reviewed_case(tmp_path / str(patient), patient), into) == 0
    for patient in range(1, 4):
        assert collect(reviewed_case(tmp_path / f"again {patient}", patient), into, "--replace") == 0
    back = next(c for c in read_collection(into).cases if c.patient == gone.patient)
    assert back.split == gone.split
    assert np.array_equal(sorted({c.split for c in read_collection(into).cases}), ["test", "train", "val"])
