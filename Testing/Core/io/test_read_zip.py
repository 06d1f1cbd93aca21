"""A DICOM series in a .zip is read; a .zip that could do harm is not unpacked."""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from focusnet.errors import InputError
from focusnet.io import dicom_zip, read_volume

from ..helpers_images import add_series, small_scan, write_dicom


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    while dicom_zip._unpacked:
        dicom_zip._unpacked.pop().cleanup()


def refusal(path: Path, **options: str) -> str:
    with pytest.raises(InputError) as caught:
        read_volume(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_zip_of_a_series_is_read_with_folders_in_it_and_the_slices_stay_until_the_program_ends(
    tmp_path: Path,
) -> None:
    write_dicom(tmp_path / "in" / "study" / "ct")
    path = Path(shutil.make_archive(str(tmp_path / "scan"), "zip", tmp_path / "in"))
    volume = read_volume(path)
    assert np.array_equal(volume.array, small_scan().array)
    assert all(Path(file).is_file() for file in volume.dicom_uids["files"])


def test_a_series_is_picked_from_a_zip_and_messages_name_the_zip(tmp_path: Path, temporary: Path) -> None:
    folder = write_dicom(tmp_path / "ct")
    uid = add_series(folder, "contrast")
    path = Path(shutil.make_archive(str(tmp_path / "scan"), "zip", folder))
    assert "contrast" in read_volume(path, series=uid).source
    message = refusal(path)
    assert message.startswith(f"{path} holds 2 CT series")
    assert str(temporary) not in message


@pytest.mark.parametrize(
    "name", ["../out.dcm", "/out.dcm", "a/../../out.dcm", "C:\\out.dcm", "..\\out.dcm", "\\out.dcm"]
)
def test_a_path_that_leads_out_is_refused_and_nothing_is_written(tmp_path: Path, temporary: Path, name: str) -> None:
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("fine.dcm", b"x")
        archive.writestr(name, b"x")
    assert "a path that leads out of it" in refusal(path)
    assert not list(temporary.iterdir())
    assert not list(tmp_path.rglob("out.dcm"))


def test_a_link_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.zip"
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "a link ('link')" in refusal(path)


def test_a_bomb_is_stopped_while_it_unpacks_and_leaves_nothing(tmp_path: Path, temporary: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("slice.dcm", bytes(40 << 20))
    assert path.stat().st_size < 100_000
    assert "unpacks to more than a scan can hold" in refusal(path)
    assert not list(temporary.iterdir())


def test_many_files_that_are_each_allowed_are_stopped_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicom_zip, "MAXIMUM_UNPACKED_BYTES", 5 << 20)
    monkeypatch.setattr(dicom_zip, "MAXIMUM_FILES", 20)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(10):
            archive.writestr(f"{number}.dcm", bytes(1 << 20))
    assert "unpacks to more than a scan can hold" in refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(21):
            archive.writestr(f"{number}.dcm", b"")
    assert "holds 21 files, more than 20" in refusal(path)


def test_a_zip_that_is_none_is_damaged_or_holds_no_scan_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "scan.zip"
    path.write_bytes(b"hello")
    assert "cannot be read as a .zip" in refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.txt", "hello")
    assert f"{path} holds no DICOM image" in refusal(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", bytes(range(256)) * 100)
    whole = bytearray(path.read_bytes())
    whole[60:80] = b"x" * 20
    path.write_bytes(whole)
    assert "cannot be read as a .zip" in refusal(path)
