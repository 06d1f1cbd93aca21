"""CT series as DICOM files with organs on them, and the programs that judge what we write about them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom

from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Volume
from focusnet.io import read_volume
from focusnet.io.dicom_series import read_dicom_folder
from focusnet.phantom.dicom import write_dicom_series

from ..paths import DATA
from .helpers_outputs import scan_and_organs, segmentation

HEAD_DICOM = DATA / "head-dicom"


def small_case(
    folder: Path, change: Callable[[pydicom.Dataset], object] = lambda data: None
) -> tuple[Volume, Segmentation]:
    """A small head with four organs, through DICOM files that ``change`` has touched."""
    volume, organs = scan_and_organs()
    as_large_as_a_head = replace(volume.geometry, spacing_mm_xyz=(3.25, 3.5, 4.0))
    volume = replace(volume, geometry=as_large_as_a_head)
    files = write_dicom_series(volume, folder / "ct", 0)
    for file in files.iterdir():
        data = pydicom.dcmread(file)
        change(data)
        data.save_as(file)
    read = read_dicom_folder(files)  # without the check of its values: there are only three
    return read, segmentation(organs.labels, read.geometry)  # whose volumes are those of this spacing


def head_dicom_case() -> tuple[Volume, Segmentation]:
    """The real scan: bone as "mandible", ragged and full of holes, and three balls. What is drawn matters less than what is drawn on."""
    volume = read_volume(HEAD_DICOM, hu_offset=-1024)
    labels = np.where(volume.array > 300, 5, 0).astype(np.uint8)
    z, y, x = np.ogrid[: labels.shape[0], : labels.shape[1], : labels.shape[2]]
    for label, (row, column, radius) in enumerate([(30, 32, 6), (40, 31, 2), (32, 20, 4), (32, 44, 4)], start=1):
        labels[((z - 45) / 1.5) ** 2 + (y - row) ** 2 + (x - column) ** 2 < radius**2] = label
    names = ("Brainstem", "SpinalCord", "Parotid_R", "Parotid_L", "Bone_Mandible")
    return volume, segmentation(labels, volume.geometry, names)


def program(name: str) -> str | None:
    """A program on the PATH or beside this Python, where pip puts it; None if there is none."""
    return shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))


def dicom_errors(path: Path) -> list[str]:
    """What dicom3tools' dciodvfy, which knows the standard's object definitions, calls an error."""
    verifier = program("dciodvfy")
    assert verifier is not None
    done = subprocess.run([verifier, str(path)], capture_output=True, text=True, timeout=600, check=False)
    said = (done.stdout + done.stderr).splitlines()
    assert any(line.strip() in ("RTStructureSet", "Segmentation") for line in said), said  # the object was recognised
    return [line for line in said if line.startswith(("Error", "Abort"))]
