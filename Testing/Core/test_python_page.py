"""docs/python.md: every block runs, in order; what cannot be a scan is refused with the remedy; printing is short."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import focusnet
from focusnet.errors import InputError
from focusnet.image.as_volume import as_volume

from ..paths import ROOT
from .helpers_images import small_scan, write_image
from .helpers_outputs import scan_and_organs


def test_every_block_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(small_scan(), tmp_path / "ct.nrrd")
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 8
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    said = capsys.readouterr().out
    assert said.startswith(
        "Volume(60 x 56 x 59 voxels of 5 x 5 x 6 mm, int16, ct.nrrd)\nSegmentation(60 x 56 x 59 voxels"
    )
    assert said.endswith("Parotid_L\nNone\n")


def test_a_sitk_image_becomes_the_same_scan_in_the_same_place() -> None:
    scan = small_scan()
    image = sitk.GetImageFromArray(scan.array)
    image.SetSpacing(scan.geometry.spacing_mm_xyz)
    image.SetOrigin(scan.geometry.origin_mm_xyz)
    image.SetDirection(np.asarray(scan.geometry.direction_xyz).ravel().tolist())
    found = as_volume(image)
    assert found.geometry.same_grid_as(scan.geometry)
    assert np.array_equal(found.array, scan.array)
    assert as_volume(sitk.Cast(image, sitk.sitkFloat64)).array.dtype == np.float32
    assert as_volume(scan) is scan
    with pytest.raises(InputError, match="2 dimensions"):
        as_volume(image[:, :, 0])


@pytest.mark.parametrize(
    ("scan", "remedy"),
    [
        ("ct.nrrd", r"focusnet\.read_volume\('ct\.nrrd'\)"),
        (Path("ct"), r"focusnet\.read_volume\('ct'\)"),
        (np.zeros((2, 2, 2)), "where the patient's left is"),
        (None, "not NoneType"),
    ],
)
def test_what_is_no_scan_is_a_type_error_with_the_remedy(scan: object, remedy: str) -> None:
    with pytest.raises(TypeError, match=remedy):
        focusnet.segment(scan, "han7-openkbp")  # type: ignore[arg-type]


def test_printing_a_scan_and_a_result_is_short() -> None:
    volume, organs = scan_and_organs()
    assert len(repr(volume)) < 120
    assert len(str(organs)) < 300
    assert "Brainstem" in str(organs)
    assert "Larynx not found" in str(organs)
    assert "array(" not in repr(volume) + repr(organs)
