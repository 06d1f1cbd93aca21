"""A full disk, whoever meets it: one line that says what could not be written, nothing half written, nothing old lost."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from focusnet.datasets.cache import Cache
from focusnet.datasets.check import check_dataset
from focusnet.datasets.open_dataset import open_dataset
from focusnet.datasets.raw_contours import Contours
from focusnet.errors import OutputError
from focusnet.files import disk
from focusnet.image.volume import Geometry
from focusnet.nets.bundle import load_bundle, save_bundle
from focusnet.simulate.dataset import write_marked
from focusnet.train.loop.checkpoint import save_checkpoint
from focusnet.train.setup.run_manifest import read_manifest, write_manifest

from ..helpers_disk import files_end_at, on_linux, small_disk
from ..helpers_engine import random_network, small_config
from ..helpers_layouts import write_pddca
from .test_atomic_write import WRITERS

GRID = Geometry((4, 30, 30), (1.0, 1.0, 3.0), (0.0, 0.0, 0.0), ((1, 0, 0), (0, 1, 0), (0, 0, 1)))
NOISE = np.random.default_rng(0).integers(-1000, 2000, GRID.shape_zyx).astype(np.int16)


def one_line(error: pytest.ExceptionInfo[OutputError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert "cannot be written (" in text
    assert "ree some space" in text
    return text


@on_linux
def test_an_appended_record_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "log"
    disk.append_whole(path, b"first\n")
    with files_end_at(9):
        with pytest.raises(OSError, match="large"):
            disk.append_whole(path, b"second\n")
        with pytest.raises(OSError, match="large"):
            disk.append_whole(tmp_path / "new", b"longer than nine\n")
    assert path.read_bytes() == b"first\n"
    assert not (tmp_path / "new").exists()


def test_the_room_that_is_left_and_needed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    room = SimpleNamespace(f_bavail=3, f_frsize=100_000, f_files=50, f_favail=7)
    monkeypatch.setattr(os, "statvfs", lambda _: room, raising=False)
    told = disk.reason(full, tmp_path / "not" / "yet", needed_bytes=8_400_000)
    assert told == "No space left on device; 0.3 MB free, about 8.4 MB needed"
    assert disk.reason(RuntimeError("one\nITK: write failed"), tmp_path) == "ITK: write failed; 0.3 MB free"
    room.f_bavail = 90_000
    assert disk.reason(PermissionError(errno.EACCES, "Permission denied"), tmp_path) == "Permission denied"
    room.f_favail = 0  # space is left, but no inode: "no space" alone would send the user looking for large files
    assert (
        disk.reason(full, tmp_path) == "No space left on device: the disk holds no more files, though 9.0 GB are free"
    )


@on_linux
def test_a_bundle_that_does_not_fit_leaves_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    old = save_bundle(folder, "old", random_network(small_config(), 0), {})
    with files_end_at(3000), pytest.raises(OutputError) as error:
        save_bundle(folder, "new", random_network(small_config(), 1), {}, overwrite=True)
    assert str(folder) in one_line(error)
    assert " MB needed" in str(error.value)
    assert load_bundle(folder).digest == old.digest
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_bundle_that_cannot_take_its_place_gives_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "bundle"
    old = save_bundle(folder, "old", random_network(small_config(), 0), {})
    replace = os.replace

    def refuse_the_new(source: Path, target: Path) -> None:
        if Path(source).name == "new":
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse_the_new)
    with pytest.raises(OutputError) as error:
        save_bundle(folder, "new", random_network(small_config(), 1), {}, overwrite=True)
    one_line(error)
    assert load_bundle(folder).digest == old.digest


@on_linux
def test_a_cache_entry_is_whole_or_not_there(tmp_path: Path) -> None:
    scan = tmp_path / "scan"
    scan.write_text("a scan")
    contours = Contours("pt_1", NOISE, GRID, {"Larynx": np.arange(9)}, frozenset(["Larynx"]), (), "pt_1")
    cache = Cache(tmp_path / "cache")
    with files_end_at(3000), pytest.raises(OutputError) as error:
        cache.get([scan], {}, lambda: contours)
    assert "go on without a cache: FOCUSNET_CACHE=0" in one_line(error)
    assert not list(cache.folder.iterdir())
    cache.get([scan], {}, lambda: contours)
    kept = cache.get([scan], {}, lambda: pytest.fail("the entry was not kept"))
    assert kept.hu is not None
    np.testing.assert_array_equal(kept.hu, NOISE)


@on_linux
def test_a_full_cache_is_not_taken_for_bad_cases(tmp_path: Path) -> None:
    """It stands in the way of every case alike; a list of errors, one a case, would send the user to contours that are right."""
    dataset = open_dataset(write_pddca(tmp_path / "data", 2), tmp_path / "cache")
    with files_end_at(3000), pytest.raises(OutputError) as error:
        check_dataset(dataset)
    assert "go on without a cache" in one_line(error)
    assert len(check_dataset(dataset).cases) == 2
    assert len(list((tmp_path / "cache").iterdir())) == 2


@on_linux
def test_the_record_of_a_run_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    write_manifest(tmp_path, {"preset": "paper"})
    with files_end_at(100), pytest.raises(OutputError) as error:
        write_manifest(tmp_path, {"preset": "x" * 500})
    assert "training.json" in one_line(error)
    assert read_manifest(tmp_path) == {"preset": "paper"}
    assert [p.name for p in tmp_path.iterdir()] == ["training.json"]


@on_linux
@pytest.mark.parametrize("missing_bytes", [1, 20, 2000])
def test_a_simulated_scan_that_does_not_fit_is_not_there(missing_bytes: int, tmp_path: Path) -> None:
    """ITK says nothing where only the end of the file is missing, and the next run would take the case for done."""
    write_marked(tmp_path / "whole.nrrd", NOISE, GRID, "simulated")
    size = (tmp_path / "whole.nrrd").stat().st_size
    with (
        files_end_at(size - missing_bytes),
        pytest.raises(OutputError, match=r"ct\.nrrd cannot be written \(") as error,
    ):
        write_marked(tmp_path / "ct.nrrd", NOISE, GRID, "simulated")
    one_line(error)
    assert [p.name for p in tmp_path.iterdir()] == ["whole.nrrd"]


def test_what_a_killed_run_left_of_a_checkpoint_goes_with_the_next_one(tmp_path: Path) -> None:
    path, rest = tmp_path / "a.safetensors", tmp_path / "a.safetensors.partial"
    rest.mkdir()
    (rest / ".tmp1x2y").write_bytes(b"half")
    save_checkpoint(path, {"x": torch.ones(2)}, {"step": 1})
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]
    rest.write_bytes(b"half, by another version")
    save_checkpoint(path, {"x": torch.ones(2)}, {"step": 2})
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize("options", ["size=4k", "size=64k,nr_inodes=1"])
@pytest.mark.parametrize("name", WRITERS)
def test_a_real_file_system_without_room_or_without_names(name: str, options: str, tmp_path: Path) -> None:
    """Other than the limit on a file's size, it also refuses a file's name, and ITK's NIfTI writer says nothing at all."""
    with small_disk(tmp_path / "disk", options) as folder:
        if "nr_inodes" not in options:
            (folder / "fill").write_bytes(b"x" * 4096)
        before = list(folder.iterdir())
        told = "holds no more files" if "nr_inodes" in options else "No space left|may be full"
        with pytest.raises(OutputError, match=told) as error:
            WRITERS[name](folder / name, False)
        assert "\n" not in str(error.value)
        assert list(folder.iterdir()) == before


@pytest.mark.parametrize("options", ["size=4k", "size=64k,nr_inodes=1"])
def test_a_first_checkpoint_on_a_real_full_disk(options: str, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", options) as folder:
        told = "holds no more files" if "nr_inodes" in options else "0.0 MB free, about 0.0 MB needed"
        with pytest.raises(OutputError, match=told + r".*there is none of its kind yet") as error:
            save_checkpoint(folder / "a.safetensors", {"x": torch.ones(9000)}, {})
        one_line(error)
        assert not list(folder.iterdir())


def run_focusnet(*arguments: str, **streams: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "PYTHONUNBUFFERED": ""}
    command = [sys.executable, "-m", "focusnet", *arguments]
    return subprocess.run(command, env=environment, text=True, check=False, timeout=600, **streams)  # type: ignore[call-overload]


@on_linux
def test_a_table_that_goes_to_a_file_on_a_full_disk_is_missed_in_one_line() -> None:
    with open("/dev/full", "w") as full:
        ended = run_focusnet("models", "list", stdout=full, stderr=subprocess.PIPE)
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        "focusnet: standard output cannot be written (No space left on device). Free some space and try again."
    ]


@on_linux
def test_messages_that_go_to_a_file_on_a_full_disk_do_not_change_the_exit_status() -> None:
    with open("/dev/full", "w") as full:
        assert run_focusnet("models", "show", "nothing", stderr=full).returncode == 2
