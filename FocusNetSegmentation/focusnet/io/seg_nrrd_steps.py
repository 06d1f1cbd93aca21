"""Read a ``.seg.nrrd`` in short steps, for a program that must not stand still while its own thread reads."""

from __future__ import annotations

import zlib
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..image.segmentation import Segmentation
from .seg_nrrd import check_voxels, read_seg_nrrd, segmentation_from

STEP_BYTES = 6 << 20  # unpacked in one step: some 20 ms
ELSEWHERE = (
    "data file",
    "datafile",
    "byte skip",
    "byteskip",
    "line skip",
    "lineskip",
)  # header keys of data that lie not right behind it


class SegNrrdReader:
    """A file whose packed voxels are in memory already: it may be removed while ``steps`` unpacks them. Raises InputError."""

    def __init__(self, path: Path | str, organs: Sequence[str] | None = None) -> None:
        self.path, self.organs = Path(path), organs
        self._whole: Segmentation | None = None
        opened = self._open()
        if opened is None:  # written by another program: read at once
            self._whole = read_seg_nrrd(self.path, organs)
            return
        self._content, self._packed, self._dtype, self._shape_zyx = opened

    def steps(self) -> Generator[None, None, Segmentation]:
        """Unpack; yields between the steps and returns what ``read_seg_nrrd`` does. Raises InputError."""
        if self._whole is not None:
            return self._whole
        out = np.empty(int(np.prod(self._shape_zyx)) * self._dtype.itemsize, np.uint8)
        done, unpack, data = 0, zlib.decompressobj(zlib.MAX_WBITS | 16), self._packed
        try:
            while done < out.size:
                part = unpack.decompress(data, min(STEP_BYTES, out.size - done))
                if not part:
                    raise InputError(f"{self.path} ends in the middle of its voxels; it may be damaged.")
                out[done : done + len(part)] = np.frombuffer(part, np.uint8)
                done, data = done + len(part), unpack.unconsumed_tail
                yield
        except zlib.error as problem:
            raise InputError(
                f"{self.path} cannot be read as a segmentation ({problem}); it may be damaged."
            ) from problem
        voxels = out.view(self._dtype).reshape(self._shape_zyx).T  # (x, y, z), as slicerio gives them
        check_voxels(voxels, self.path)
        yield
        return segmentation_from({**self._content, "voxels": voxels}, self.path, self.organs)

    def _open(self) -> tuple[dict[str, Any], bytes, np.dtype[Any], tuple[int, ...]] | None:
        """Return header, packed voxels, their type and shape; None for a file of another make, or a damaged one."""
        import nrrd
        import slicerio

        try:
            with self.path.open("rb") as file:
                header = nrrd.read_header(file)
                packed = file.read()
            content: dict[str, Any] = slicerio.read_segmentation(str(self.path), skip_voxels=True)
        except Exception:  # read_seg_nrrd says what is wrong with it
            return None
        sizes = [int(n) for n in header.get("sizes", ())]
        plain = (
            len(sizes) == 3 and header.get("encoding") in ("gzip", "gz") and not any(key in header for key in ELSEWHERE)
        )
        kind = {"unsigned char": "u1", "uint8": "u1", "uchar": "u1", "uint8_t": "u1"}.get(str(header.get("type")))
        if not plain or kind is None or not content.get("segments"):
            return None
        return content, packed, np.dtype(kind), tuple(sizes[::-1])
