"""NRRD, MetaImage and NIfTI through SimpleITK, refusing what would need a guess about left and right."""

from __future__ import annotations

import glob
import gzip
import os
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nrrd
import numpy as np
import SimpleITK as sitk

from ..errors import InputError
from ..image.volume import Geometry, Volume
from .ct_checks import refuse_grid
from .suffixes import HEADER_PAIRS, IMAGES, NIFTI, has_suffix, stem

PATIENT_SPACES = ("left-posterior-superior", "right-anterior-superior", "left-anterior-superior", "lps", "ras", "las")

SIMULATED_KEY = "simulated"  # in the header of what focusnet simulate and focusnet phantom write: the reader must know
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])
AGREEING_AXES = 0.985  # cosine of 10 degrees: beyond it, two orientations of one header cannot both be meant
AGREEING_SCALES = 0.01
FLOAT_TYPES = {"16": "f4", "64": "f8"}  # NIfTI data type codes
AGREEING_MM = 1.0  # corners of the scan; below it, differences are rounding

sitk.ProcessObject.SetGlobalWarningDisplay(False)  # a user sees one line of ours, not ITK's


def read_image(path: Path) -> Volume:
    """Read one image file as stored (any axis order and direction). Raises InputError."""
    if not has_suffix(path, (*IMAGES, *HEADER_PAIRS)):
        raise InputError(
            f"{path} is not a known kind of image: {', '.join(IMAGES)}, a folder of DICOM files or a .zip of one is expected."
        )
    _check_twin(path)
    if has_suffix(path, HEADER_PAIRS):
        path = _header_of_pair(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with _quiet():
            reader.ReadImageInformation()
    except RuntimeError as problem:
        raise InputError(_unreadable(path, problem)) from problem
    _check_shape(path, reader)
    _check_space(path, reader)
    try:
        geometry = Geometry(
            tuple(reader.GetSize()[::-1]),
            tuple(reader.GetSpacing()),
            tuple(reader.GetOrigin()),
            tuple(map(tuple, np.asarray(reader.GetDirection()).reshape(3, 3))),
        )
    except InputError as problem:
        raise InputError(f"{path}: {problem}") from problem
    notes = _check_nifti(path, reader, geometry) if has_suffix(path, (*NIFTI, *HEADER_PAIRS)) else []
    if SIMULATED_KEY in reader.GetMetaDataKeys():
        notes.append(" ".join(reader.GetMetaData(SIMULATED_KEY).split()))
    refuse_grid(geometry, path.name)  # before voxels are read: a damaged header may promise any number of them
    image = _voxels(path, reader)
    view = (
        sitk.GetArrayViewFromImage(image) if isinstance(image, sitk.Image) else image
    )  # lives only as long as the image
    array = as_hu(view, path)
    return Volume(array.copy() if array is view else array, geometry, path.name, notes=tuple(notes))


def _voxels(path: Path, reader: sitk.ImageFileReader) -> sitk.Image | np.ndarray:
    """The voxels: an image, or an array (z, y, x) where pynrrd reads what ITK was built without."""
    try:
        with _quiet():
            return reader.Execute()
    except RuntimeError as problem:
        reason = _reason(problem)
        if "bzip2" in reason:
            try:
                return np.asarray(nrrd.read(str(path), index_order="C")[0])
            except Exception as damage:  # pynrrd raises many kinds
                reason = str(damage)
        raise InputError(
            f"{path}: the voxels cannot be read ({reason}). The file, or the data file beside it, may be missing, damaged or cut short."
        ) from problem


def as_hu(array: np.ndarray, path: Path) -> np.ndarray:
    """Return an array (z, y, x) as int16 where the values are whole numbers that fit, float32 otherwise; 8-bit is kept so that it can be refused as such."""
    if array.dtype in (np.uint8, np.int8, np.int16):
        return array
    if np.issubdtype(array.dtype, np.floating):  # slice by slice: no second copy of the scan
        if not all(np.isfinite(part).all() for part in array):
            raise InputError(_no_numbers(path))
        if not all(np.array_equal(part, np.rint(part)) for part in array):
            return array.astype(np.float32, copy=False)
    if array.size and (array.min() < -32768 or array.max() > 32767):
        raise InputError(
            f"{path} holds values from {array.min()} to {array.max()}; a CT in HU (-1024 to about 3071) is expected."
        )
    return array.astype(np.int16)


def _check_twin(path: Path) -> None:
    """ITK takes the voxels of NAME.nii when asked for NAME.nii.gz beside it (InsightSoftwareConsortium/ITK issue 2243)."""
    twin = path.with_name(path.name[: -len(".gz")])
    if has_suffix(path, (".nii.gz",)) and twin.exists():
        raise InputError(
            f"{path}: {twin.name} lies beside it, and the two cannot be told apart when reading. Give {twin.name}, or move one of them to another folder."
        )


def _header_of_pair(path: Path) -> Path:
    """The .hdr of a NIfTI that is stored as .hdr and .img, whichever was given."""
    header, voxels = (
        next(iter(sorted(path.parent.glob(f"{glob.escape(path.stem)}.{end}"))), None)
        for end in ("[hH][dD][rR]", "[iI][mM][gG]")
    )
    if header is None or voxels is None:
        raise InputError(f"{path}: the .hdr and the .img belong together and one is missing; put both in one folder.")
    with header.open("rb") as handle:
        start = handle.read(348)
    if start[344:348] not in (b"ni1\0", b"n+1\0"):
        raise InputError(
            f"{path} is an Analyze 7.5 image, which does not say where the patient's left is (NIfTI-1 is expected). Convert the scan from DICOM again."
        )
    return header


def _voxels_of(path: Path) -> Path:
    """The file that holds the voxels of a NIfTI: the .img of a pair."""
    if not has_suffix(path, HEADER_PAIRS):
        return path
    return next(iter(sorted(path.parent.glob(f"{glob.escape(path.stem)}.[iI][mM][gG]"))))


def _check_shape(path: Path, reader: sitk.ImageFileReader) -> None:
    dimension, components = reader.GetDimension(), reader.GetNumberOfComponents()
    if dimension != 3:
        raise InputError(
            f"{path} has {dimension} dimensions; one 3D scan is expected. Extract a 3D volume from it first."
        )
    if components != 1:
        raise InputError(
            f"{path} has {components} values per voxel (a colour or vector image); a CT with one value per voxel is expected."
        )


def _check_space(path: Path, reader: sitk.ImageFileReader) -> None:
    """The header must say where the patient's left is and how large a voxel is: ITK fills in either without a word."""
    name = path.name.lower()
    keys = set(reader.GetMetaDataKeys())
    if name.endswith((".nrrd", ".nhdr")):
        space = reader.GetMetaData("NRRD_space").lower() if "NRRD_space" in keys else "none"
        if space not in PATIENT_SPACES:
            raise InputError(_no_left(path, f"NRRD space: {space}; left-posterior-superior or the like is expected"))
        _check_nrrd_directions(path)
    elif name.endswith((".mha", ".mhd")):
        _check_meta_header(path)
    elif has_suffix(path, (*NIFTI, *HEADER_PAIRS)) and not _nifti_codes(reader):
        raise InputError(_no_left(path, "NIfTI sform and qform codes are both 0"))


def _check_nrrd_directions(path: Path) -> None:
    try:
        directions = nrrd.read_header(str(path)).get("space directions")
    except Exception as problem:  # pynrrd raises many kinds for what ITK may still have let pass
        raise InputError(_unreadable(path, problem)) from problem
    if directions is None or not np.isfinite(np.asarray(directions, dtype=float)).all():
        raise InputError(
            f"{path} does not give a direction and spacing for each of its three axes (NRRD space directions). "
            "Export it again from a program that knows, such as 3D Slicer."
        )


def _check_meta_header(path: Path) -> None:
    with open(path, "rb") as handle:
        head = handle.read(1 << 16).split(b"ElementDataFile")[0].decode("latin-1")
    keys = set(re.findall(r"^\s*(\w+)\s*=", head, re.MULTILINE))
    if not keys & {"TransformMatrix", "Rotation", "Orientation"}:
        raise InputError(_no_left(path, "MetaImage header without TransformMatrix"))
    if not keys & {"ElementSpacing", "ElementSize"}:
        raise InputError(
            f"{path} does not say how large a voxel is (MetaImage header without ElementSpacing). Export it again from a program that knows."
        )


def _nifti_codes(reader: sitk.ImageFileReader) -> list[str]:
    """Which of sform and qform the header declares as meant."""
    keys = set(reader.GetMetaDataKeys())
    codes = {form: reader.GetMetaData(f"{form}_code") if f"{form}_code" in keys else "0" for form in ("sform", "qform")}
    return [form for form, code in codes.items() if code not in ("0", "", "NIFTI_XFORM_UNKNOWN")]


def _check_nifti(path: Path, reader: sitk.ImageFileReader, geometry: Geometry) -> list[str]:
    """Refuse a header that contradicts itself about place or size, and a file that is too short; return notes.

    ITK takes spacing from pixdim (1 where that is 0 or NaN) and the directions from sform or qform, and says nothing where they
    disagree. It also fills a file that is too short with zeros.
    """
    _check_stored_voxels(path, reader)
    read = geometry.affine_xyz[:3, :3]
    notes = []
    forms = _nifti_codes(reader)
    for form in forms:
        columns = _nifti_columns(path, reader, form)
        lengths = np.linalg.norm(columns, axis=0)
        cosine = float(((columns * read).sum(axis=0) / np.maximum(lengths * geometry.spacing_mm_xyz, 1e-9)).min())
        if cosine < AGREEING_AXES:
            raise InputError(
                f"{path}: NIfTI sform and qform disagree about the patient's directions by {np.degrees(np.arccos(max(cosine, -1.0))):.0f} degrees, "
                "so left and right would be a guess. Convert the scan from DICOM again, or remove the wrong one."
            )
        if not np.isfinite(lengths).all() or np.abs(lengths / geometry.spacing_mm_xyz - 1).max() > AGREEING_SCALES:
            found, other = (" x ".join(f"{v:.4g}" for v in values) for values in (lengths, geometry.spacing_mm_xyz))
            raise InputError(
                f"{path}: the voxel spacing is {found} mm by its {form} and {other} mm otherwise (NIfTI pixdim); one is wrong. "
                "Convert the scan from DICOM again."
            )
        apart = float(np.abs((columns - read) * (np.array(geometry.shape_zyx[::-1]) - 1)).sum(axis=1).max())
        if apart > AGREEING_MM:
            notes.append(f"The header's {form} differs from the orientation that was used by up to {apart:.1f} mm.")
    return [*notes, *_two_places(reader, geometry, forms)]


def _two_places(reader: sitk.ImageFileReader, geometry: Geometry, forms: list[str]) -> list[str]:
    """A sentence where sform and qform put the first voxel in two places: which one was used, and where both lie."""
    if len(forms) < 2:
        return []
    places = {form: _nifti_origin(reader, form) for form in forms}
    apart = float(np.linalg.norm(places["sform"] - places["qform"]))
    if not apart > AGREEING_MM:
        return []
    used = min(places, key=lambda form: float(np.linalg.norm(places[form] - geometry.origin_mm_xyz)))
    listed = ", ".join(f"{form} ({', '.join(f'{v:.1f}' for v in places[form])})" for form in ("sform", "qform"))
    return [
        f"The NIfTI header's sform and qform put the scan in two places, {apart:.1f} mm apart (first voxel in LPS mm: {listed}); the {used} was "
        "used. Contours may lie elsewhere in a program that takes the other one."
    ]


def _nifti_origin(reader: sitk.ImageFileReader, form: str) -> np.ndarray:
    """The first voxel's place (x, y, z in LPS mm) by ``form``."""
    if form == "sform":
        place = [float(reader.GetMetaData(f"srow_{axis}").split()[3]) for axis in "xyz"]
    else:
        place = [float(reader.GetMetaData(f"qoffset_{axis}")) for axis in "xyz"]
    return np.asarray(RAS_TO_LPS @ np.array(place))


def _nifti_columns(path: Path, reader: sitk.ImageFileReader, form: str) -> np.ndarray:
    """Steps along x, y and z in LPS mm (3x3, one column an axis) by ``form`` (NIfTI-1 standard, methods 2 and 3)."""
    if form == "sform":
        rows = [[float(v) for v in reader.GetMetaData(f"srow_{axis}").split()[:3]] for axis in "xyz"]
        return RAS_TO_LPS @ np.array(rows)
    b, c, d = (float(reader.GetMetaData(f"quatern_{axis}")) for axis in "bcd")
    a = np.sqrt(max(0.0, 1.0 - b * b - c * c - d * d))
    pixdim, swapped = _nifti_pixdim(path)
    if swapped:
        pixdim = pixdim.byteswap()
    handed = -1.0 if pixdim[0] < 0 else 1.0  # qfac; ITK's own copy of it reads 0
    steps = pixdim[1:4].astype(float) * (1.0, 1.0, handed)
    from scipy.spatial.transform import Rotation  # half a second to import, for NIfTI alone

    return RAS_TO_LPS @ (Rotation.from_quat([b, c, d, a]).as_matrix() * steps)


def _nifti_pixdim(path: Path) -> tuple[np.ndarray, bool]:
    """pixdim[0..3] of the header as little-endian float32, and whether the header is big-endian."""
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    with opener(path, "rb") as handle:
        header = handle.read(348)
    return np.frombuffer(header, "<f4", 4, 76), int.from_bytes(header[:4], "little") != 348


def _check_stored_voxels(path: Path, reader: sitk.ImageFileReader) -> None:
    """Refuse a file that is too short, and voxels that are no numbers: ITK would make zeros of both, which is soft tissue."""
    bytes_per_voxel = int(reader.GetMetaData("bitpix")) / 8  # as stored: with a slope, ITK's own type is wider
    offset = int(float(reader.GetMetaData("vox_offset")))
    needed = offset + int(np.prod(reader.GetSize(), dtype=np.int64) * bytes_per_voxel)
    kind = FLOAT_TYPES.get(reader.GetMetaData("datatype"))
    if kind is None and not path.name.lower().endswith(".gz"):
        found = _voxels_of(path).stat().st_size
    else:
        found = 0
        order = ">" if _nifti_pixdim(path)[1] else "<"
        rest = b""
        for block in _unpacked(_voxels_of(path)):
            if kind is not None:
                data = rest + block[max(0, offset - found) : max(0, needed - found)]
                values = np.frombuffer(data, order + kind, len(data) // int(kind[1:]))
                if not np.isfinite(values).all():
                    raise InputError(_no_numbers(path))
                rest = data[values.nbytes :]
            found += len(block)
    if found < needed:
        raise InputError(
            f"{path} holds {found} bytes, its header promises {needed}; the file is cut short, copy it again."
        )


def _unpacked(path: Path) -> Iterator[bytes]:
    """The file's bytes, block by block. Raises InputError for a damaged .gz."""
    try:
        with (gzip.open if path.name.lower().endswith(".gz") else open)(path, "rb") as handle:
            while block := handle.read(1 << 22):
                yield block
    except (EOFError, OSError, zlib.error) as problem:
        raise InputError(
            f"{path}: the voxels cannot be read ({problem}). The file may be damaged or cut short; copy it again."
        ) from problem


def _no_numbers(path: Path) -> str:
    return f"{path} holds voxels that are not numbers (NaN or infinite). Give them a value first: that of air, -1000, in a CT, 0 in a label map."


@contextmanager
def _quiet() -> Iterator[None]:
    """Some of ITK's readers write to the process's stderr, past every switch: a user sees one line of ours instead."""
    try:
        stderr = sys.__stderr__.fileno() if sys.__stderr__ is not None else 2
        saved = os.dup(stderr)
    except (OSError, ValueError):  # no stderr at all, as in a windowed program
        yield
        return
    try:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), stderr)
        yield
    finally:
        os.dup2(saved, stderr)
        os.close(saved)


def _no_left(path: Path, found: str) -> str:
    return (
        f"{path} does not say where the patient's left is ({found}). Convert the scan from DICOM again, "
        "or export it from a program that knows, such as 3D Slicer."
    )


def _unreadable(path: Path, problem: Exception) -> str:
    if "couldn't parse space" in str(problem):
        return _no_left(path, f"NRRD space: {_reason(problem).rsplit(' ', 1)[-1]}")
    if "orthonormal" in str(problem):
        return (
            f"{path}: the image's axes are not perpendicular (a sheared header, as after a tilted gantry). "
            "Resample it to a regular grid first."
        )
    if _is_nifti2(path):
        return f"{path} is a NIfTI-2 file; NIfTI-1 is expected. Save it as .nii.gz of version 1, or as .nrrd."
    if path.is_file() and path.stat().st_size == 0:
        return f"{path} cannot be read as an image: it is empty (0 bytes). Copy it again."
    if "determine ImageIO reader" in str(problem):  # ITK's way to say that it does not begin as such a file does
        ending = path.name[len(stem(path)) :].lower()
        return f"{path} cannot be read as an image: it does not begin as a {ending} file does. It may be damaged or of another format; copy it again."
    return f"{path} cannot be read as an image: {_reason(problem)}. It may be damaged, cut short or of another format."


def _is_nifti2(path: Path) -> bool:
    try:
        with (gzip.open if path.name.lower().endswith(".gz") else open)(path, "rb") as handle:
            start: bytes = handle.read(12)
    except (EOFError, OSError, zlib.error):
        return False
    return start[4:7] in (b"n+2", b"ni2")


def _reason(problem: Exception) -> str:
    """The last sentence of ITK's long message, without its own file names and line numbers."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    if len(lines) > 1 and lines[-1].startswith("Reason:"):
        lines.pop()  # the operating system's last error, often of another moment
    text = lines[-1] if lines else "unknown reason"
    return re.sub(r"^(sitk::ERROR|ITK ERROR|\[nrrd\]):? ", "", text.split("): ", 1)[-1])[:160].rstrip(".!")
