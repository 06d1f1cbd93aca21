"""Compressed DICOM: decoded without loss, or refused in one line where pixels are damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from focusnet.errors import InputError
from focusnet.io import read_volume

from ..helpers_images import compress_jpeg_lossless, small_scan, write_dicom


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_volume(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_jpeg_lossless_is_decoded(tmp_path: Path) -> None:
    """The usual compression of hospital archives."""
    folder = write_dicom(tmp_path / "ct", compress_jpeg_lossless)
    assert pydicom.dcmread(next(folder.iterdir())).file_meta.TransferSyntaxUID == JPEGLosslessSV1
    assert np.array_equal(read_volume(folder).array, small_scan().array)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_lossless_compression_is_decoded(tmp_path: Path, syntax: str) -> None:
    def compress(data: pydicom.Dataset, number: int) -> None:
        try:
            data.compress(syntax)
        except (RuntimeError, NotImplementedError, ValueError) as problem:
            pytest.skip(f"no encoder for {syntax} here: {problem}")

    assert np.array_equal(read_volume(write_dicom(tmp_path / "ct", compress)).array, small_scan().array)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "ct")
    victim = sorted(folder.glob("*.dcm"))[10]
    victim.write_bytes(victim.read_bytes()[:-2000])
    message = refusal(folder)
    assert victim.name in message
    assert "cut short" in message


def test_a_compression_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "ct")
    for path in folder.glob("*.dcm"):
        data = pydicom.dcmread(path)
        data.PixelData = pydicom.encaps.encapsulate([b"\x00\x01 not a JPEG"])
        data["PixelData"].VR = "OB"
        data["PixelData"].is_undefined_length = True
        data.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless
        data.save_as(path, enforce_file_format=False)
    assert "JPEG 2000" in refusal(folder)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.5"])
def test_pixels_that_no_decoder_takes_are_refused_in_one_line(
    tmp_path: Path, syntax: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def spoil(data: pydicom.Dataset, number: int) -> None:
        data.PixelData = pydicom.encaps.encapsulate([bytes(range(256)) * 2])
        data["PixelData"].VR = "OB"
        data["PixelData"].is_undefined_length = True
        data.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)

    message = refusal(write_dicom(tmp_path / "ct", spoil))
    assert f"its compression ({pydicom.uid.UID(syntax).name}) cannot be decoded" in message
    assert capfd.readouterr().err == ""


def test_damaged_jpeg_data_are_refused_although_the_decoder_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def damage(data: pydicom.Dataset, number: int) -> None:
        compress_jpeg_lossless(data, number)
        frame = bytearray(next(pydicom.encaps.generate_frames(data.PixelData, number_of_frames=1)))
        middle = len(frame) // 2
        frame[middle : middle + 40] = bytes(40)
        data.PixelData = pydicom.encaps.encapsulate([bytes(frame)])

    message = refusal(write_dicom(tmp_path / "ct", damage))
    assert "its pixels are damaged" in message
    assert "copy the file again" in message
    assert capfd.readouterr().err == ""
