"""Outputs are refused before the work starts, written whole or not at all, and never over something without leave."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from focusnet.errors import InputError, OutputError
from focusnet.files.atomic_write import atomic_path, check_output
from focusnet.io.json_report import write_report
from focusnet.io.label_map import names_path, read_label_map, write_nifti
from focusnet.io.seg_nrrd import write_seg_nrrd
from focusnet.reports.overview import overview

from ..helpers_outputs import scan_and_organs

WRITERS: dict[str, Callable[[Path, bool], None]] = {
    "organs.seg.nrrd": lambda path, overwrite: write_seg_nrrd(scan_and_organs()[1], path, overwrite),
    "organs.nii.gz": lambda path, overwrite: write_nifti(scan_and_organs()[1], path, overwrite),
    "report.json": lambda path, overwrite: write_report(scan_and_organs()[1], path, overwrite),
    "overview.png": lambda path, overwrite: overview(*scan_and_organs(), path, overwrite),
}
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="uses Linux's file-size limit, /proc or /dev")


def one_line(error: pytest.ExceptionInfo[OutputError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("name", WRITERS)
def test_no_writer_replaces_a_file_without_overwrite(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("precious")
    with pytest.raises(OutputError, match="exists; choose another name or pass --overwrite") as error:
        WRITERS[name](path, False)
    one_line(error)
    assert path.read_text() == "precious"
    WRITERS[name](path, True)
    assert path.read_bytes() != b"precious"


@pytest.mark.parametrize("name", WRITERS)
def test_every_writer_leaves_its_file_and_nothing_else(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name, False)
    expected = {name, "organs.labels.json"} if name.endswith(".nii.gz") else {name}
    assert {p.name for p in tmp_path.iterdir()} == expected


@pytest.mark.parametrize("name", WRITERS)
def test_a_missing_folder_is_refused_by_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"nowhere does not exist|create .*nowhere first"):
        WRITERS[name](tmp_path / "nowhere" / name, False)


@pytest.mark.parametrize("name", ["organs.seg.nrrd", "organs.nii.gz", "overview.png"])
def test_a_name_of_another_ending_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"unknown ending; .* expected"):
        WRITERS[name](tmp_path / "organs.txt", False)


def test_a_folder_as_output_is_refused_even_with_overwrite(tmp_path: Path) -> None:
    (tmp_path / "a.seg.nrrd").mkdir()
    with pytest.raises(OutputError, match="is a folder or a device"):
        check_output(tmp_path / "a.seg.nrrd", overwrite=True)


@on_linux
def test_a_device_is_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder or a device"):
        check_output("/dev/null", overwrite=True)


@on_linux
def test_a_folder_that_cannot_be_written_is_refused_early() -> None:
    with pytest.raises(OutputError, match="cannot be written"):  # nobody, root included, makes files in /proc
        check_output("/proc/organs.seg.nrrd")


def test_a_name_that_the_file_system_cannot_hold_is_refused_early(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be"):
        check_output(tmp_path / ("x" * 300 + ".png"))


def test_the_longest_name_that_the_file_system_holds_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 246 + ".seg.nrrd")
    WRITERS["organs.seg.nrrd"](path, False)
    assert path.is_file()


def test_a_failure_half_way_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "organs.nii.gz"
    path.write_text("old")

    def fail() -> None:
        with atomic_path(path) as partial:
            assert partial.name.endswith(".nii.gz"), "libraries choose the format by the ending"
            partial.write_text("half")
            raise RuntimeError("ITK ERROR: line one\nthe disk went away")

    with pytest.raises(OutputError, match="the disk went away") as error:
        fail()
    one_line(error)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_unforeseen_failure_is_not_dressed_up_and_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_path(tmp_path / "a.json"):
            raise KeyError("a mistake of ours")

    with pytest.raises(KeyError):
        fail()
    assert not list(tmp_path.iterdir())


def run_python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process of its own with the same import path as this one."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_killed_run_leaves_nothing_under_the_final_name(tmp_path: Path) -> None:
    path = tmp_path / "organs.seg.nrrd"
    code = (
        "import sys, time\nfrom focusnet.files.atomic_write import atomic_path\n"
        "with atomic_path(sys.argv[1]) as p:\n p.write_text('half')\n print('writing', flush=True)\n time.sleep(60)\n"
    )
    process = run_python(code, path)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.communicate(timeout=600)
    assert not path.exists()
    check_output(path)  # the next run is not in the way of the killed one's remains


@on_linux
@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_one_line_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from Testing.Core.files.test_atomic_write import WRITERS, OutputError\n"
        "name, folder = sys.argv[1:]\n"
        "WRITERS[name](Path(folder) / ('first-' + name), False)\n"  # fonts and caches are made now
        "[p.unlink() for p in Path(folder).iterdir()]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))\n"  # a write beyond 100 bytes fails
        "try:\n    WRITERS[name](Path(folder) / name, False)\n"
        "except OutputError as problem:\n    print(problem)\n"
    )
    process = run_python(code, name, tmp_path)
    told, complaints = process.communicate(timeout=600)
    assert process.returncode == 0, complaints
    assert told.count("\n") == 1, complaints
    assert f"{name} cannot be written (" in told
    assert "free some space" in told.lower()
    assert not list(tmp_path.iterdir()), "neither the file nor a temporary one"


@pytest.mark.skipif(os.name != "posix", reason="Windows has no umask and needs a privilege for symbolic links")
def test_a_link_is_written_through_with_the_users_usual_permissions(tmp_path: Path) -> None:
    real = tmp_path / "elsewhere.json"
    real.write_text("old")
    link = tmp_path / "report.json"
    link.symlink_to(real)
    before = os.umask(0o027)
    try:
        WRITERS["report.json"](link, True)
    finally:
        os.umask(before)
    assert link.is_symlink()
    assert "research software" in real.read_text().lower()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


@pytest.mark.parametrize("grid", ["upright", "head first", "oblique and flipped"])
def test_a_nifti_label_map_comes_back_with_names_and_place(grid: str, tmp_path: Path) -> None:
    _, result = scan_and_organs(grid)
    write_nifti(result, tmp_path / "organs.nii.gz")
    back = read_label_map(tmp_path / "organs.nii.gz")
    np.testing.assert_array_equal(back.labels, result.labels)
    assert back.geometry.same_grid_as(result.geometry)
    assert [(r.organ, r.label, r.found) for r in back.results] == [(r.organ, r.label, r.found) for r in result.results]
    assert names_path(tmp_path / "organs.nii.gz") == tmp_path / "organs.labels.json"


def test_nibabel_sees_the_right_parotid_on_the_patients_right(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    _, result = scan_and_organs("mirrored x and y")
    write_nifti(result, tmp_path / "organs.nii")
    image = nibabel.load(tmp_path / "organs.nii")
    voxels = np.argwhere(np.asarray(image.dataobj) == 3)
    ours = result.geometry.index_to_mm(np.argwhere(result.mask("Parotid_R"))).mean(axis=0)
    theirs = nibabel.affines.apply_affine(image.affine, voxels).mean(axis=0)
    np.testing.assert_allclose(theirs, ours * (-1, -1, 1), atol=1e-3)  # NIfTI counts to the right and front


def label_map(folder: Path, array: np.ndarray, names: object = None) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / "map.nrrd"))
    if names is not None:
        (folder / "map.labels.json").write_text(names if isinstance(names, str) else json.dumps(names))
    return folder / "map.nrrd"


def test_a_label_map_of_ones_own_is_read_by_any_known_name_and_unnamed_values_are_background(tmp_path: Path) -> None:
    array = np.zeros((3, 4, 5), np.float32)  # some programs store labels as whole floating-point numbers
    array[0], array[1], array[2] = 4, 250, 1000
    back = read_label_map(label_map(tmp_path, array, {"Parotid-Lt": 250, "GTV": 4, "Larynx": 9}))
    assert [(r.organ.name, r.label, r.found) for r in back.results] == [
        ("Parotid_L", 250, True),
        ("GTV", 4, True),
        ("Larynx", 9, False),
    ]
    assert set(np.unique(back.labels)) == {0, 4, 250}
    assert [r.organ.name for r in read_label_map(tmp_path / "map.nrrd", {"Brainstem": 4}).results] == ["Brainstem"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (None, r"without names. Put them beside it in map.labels.json"),
        ("{", "cannot be read as label names"),
        ([1], "cannot be read as label names"),
        ({"Larynx": 0}, "label 0 of Larynx is outside 1 to 255"),
        ({"Larynx": 300}, "label 300 of Larynx is outside 1 to 255"),
        ({}, "empty or gives one value twice"),
        ({"Larynx": 1, "Brainstem": 1}, "empty or gives one value twice"),
        ({"Parotid_L": 1, "Parotid-Lt": 2}, "'Parotid_L' and 'Parotid-Lt' are both Parotid_L"),
    ],
)
def test_a_table_of_names_that_could_be_misread_is_refused(names: object, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words) as error:
        read_label_map(label_map(tmp_path, np.ones((2, 3, 4), np.uint8), names))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "array", [np.full((2, 3, 4), 0.5, np.float32), np.full((2, 3, 4), np.nan, np.float32), np.ones((3, 4), np.uint8)]
)
def test_an_image_that_is_no_label_map_is_refused(array: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a label map"):
        read_label_map(label_map(tmp_path, array, {"Larynx": 1}))
