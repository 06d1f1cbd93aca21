"""Read the real head CT of Debian's package invesalius-examples (GPL-2), for tests and pictures. The scan itself is not in this repository.

    apt-get download invesalius-examples; or apt-get install invesalius-examples
    python benchmarks/invesalius_ct.py [/usr/share/doc/invesalius-examples/examples/Cranium.inv3] -o cranium.nrrd

An .inv3 file is a tar archive: main.plist (shape, spacing) and matrix.dat (int16 HU). Its rows are stored back to front, its slices from
the neck upwards; the patient's left is at the end of each row, as in DICOM.
"""

from __future__ import annotations

import argparse
import plistlib
import sys
import tarfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "FocusNetSegmentation"))

from focusnet.errors import InputError  # noqa: E402
from focusnet.image.volume import Geometry, Volume  # noqa: E402

CRANIUM = Path("/usr/share/doc/invesalius-examples/examples/Cranium.inv3")
INSTALL = "install Debian's package invesalius-examples, or name the file"


def read_inv3(path: Path = CRANIUM) -> Volume:
    """Return the scan as an upright Volume (LPS, HU). The origin is the centre of the first voxel: the file holds no other.

    Raises InputError where the file is missing or not such an archive.
    """
    if not path.is_file():
        raise InputError(f"{path} is not there; {INSTALL}.")
    try:
        with tarfile.open(path) as archive:
            members = {Path(member.name).name: member for member in archive.getmembers()}
            about = plistlib.loads(_bytes(archive, members["main.plist"]))
            matrix = about["matrix"]
            raw = _bytes(archive, members[matrix["filename"]])
            stored = np.frombuffer(raw, matrix["dtype"]).reshape(matrix["shape"])
    except (tarfile.TarError, KeyError, ValueError) as problem:
        raise InputError(f"{path} is not an InVesalius project ({problem}); {INSTALL}.") from problem
    x, y, z = (float(s) for s in about["spacing"])
    hu = np.ascontiguousarray(stored[:, ::-1])  # rows back to front
    return Volume(hu, Geometry(hu.shape, (x, y, z)), f"{path.name} (invesalius-examples)")


def _bytes(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    handle = archive.extractfile(member)
    if handle is None:
        raise KeyError(member.name)
    return handle.read()


def main() -> None:
    """Write the scan as an image file that every command of focusnet reads."""
    import SimpleITK as sitk

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", nargs="?", type=Path, default=CRANIUM)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    volume = read_inv3(args.path)
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(volume.geometry.spacing_mm_xyz)
    sitk.WriteImage(image, str(args.output), True)
    print(f"{args.output}: {volume.array.shape} voxels (z, y, x), {volume.geometry.spacing_mm_xyz} mm (x, y, z)")


if __name__ == "__main__":
    main()
