"""Landmarks on a real CT: two passes that agree, distances measured as said, and the scan put right when it is read."""

from __future__ import annotations

import io
import plistlib
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from focusnet.errors import InputError
from focusnet.image.organs import find_organ
from focusnet.image.segmentation import OrganResult, Segmentation
from focusnet.image.volume import Geometry

from ...paths import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

from invesalius_ct import CRANIUM, read_inv3
from real_landmarks import Landmark, drawn_place, globe_dsc, judge, read_landmarks, table


def _result(masks: dict[str, np.ndarray], spacing: tuple[float, float, float]) -> Segmentation:
    first = next(iter(masks.values()))
    labels, results = np.zeros(first.shape, np.uint8), []
    for value, (name, mask) in enumerate(masks.items(), start=1):
        labels[mask] = value
        organ = find_organ(name)
        assert organ is not None
        results.append(OrganResult(organ=organ, label=value, found=True, volume_ml=1.0))
    return Segmentation(labels, Geometry(first.shape, spacing), tuple(results), {})


def test_the_two_passes_lie_within_two_and_a_half_millimetres_of_each_other() -> None:
    marks, about = read_landmarks()
    assert len(about["passes"]) == 2
    assert {mark.organ for mark in marks} >= {"Eye_L", "Eye_R", "Lens_L", "OpticNrv_R", "OpticChiasm", "Cochlea_L"}
    assert max(mark.spread_mm for mark in marks) < 2.5
    sides = {mark.organ: mark.place[0] for mark in marks}
    for organ in ("Eye", "Lens", "OpticNrv", "Cochlea"):
        assert sides[f"{organ}_L"] > sides[f"{organ}_R"]  # x runs towards the patient's left


def test_an_organ_drawn_at_the_landmark_is_not_off_and_one_on_the_other_side_is_called_wrong() -> None:
    marks, about = read_landmarks()
    shape = (60, 160, 200)
    masks = {}
    for mark in marks:
        x, y, z = np.rint(mark.place).astype(int)
        mask = np.zeros(shape, bool)
        mask[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2] = True
        masks[mark.organ] = mask
    rows = {row["organ"]: row for row in judge(_result(masks, tuple(about["spacing_mm_xyz"])), marks, about)}
    assert all(row["mm"] < 1.0 and row["on_its_side"] for row in rows.values())
    masks["Cochlea_L"], masks["Cochlea_R"] = masks["Cochlea_R"], masks["Cochlea_L"]
    swapped = {row["organ"]: row for row in judge(_result(masks, tuple(about["spacing_mm_xyz"])), marks, about)}
    assert not swapped["Cochlea_L"]["on_its_side"]
    assert "**wrong**" in table(list(swapped.values()))


def test_an_organ_that_was_not_drawn_has_no_distance() -> None:
    marks, about = read_landmarks()
    rows = judge(_result({"Eye_L": np.zeros((60, 160, 200), bool)}, (1.0, 1.0, 1.0)), marks, about)
    assert all(row["mm"] is None for row in rows)
    assert "0 of 9 within 5 mm" in table(rows)


def test_a_nerve_is_judged_where_the_landmarks_plane_cuts_it() -> None:
    mask = np.zeros((20, 60, 60), bool)
    for y in range(10, 50):
        mask[10, y, 20 + y // 4] = True  # it runs obliquely: its own centre says little
    place = drawn_place(mask, Landmark("OpticNrv_L", np.array([22.0, 12.0, 10.0]), 0.0), np.array([1.0, 1.0, 1.5]))
    assert place is not None
    assert abs(place[0] - 23.0) < 1.0


def test_a_ball_has_a_dsc_of_one_with_itself() -> None:
    z, y, x = np.ogrid[0:30, 0:40, 0:40]
    spacing = np.array([1.0, 1.0, 1.5])
    ball = (x - 20) ** 2 + (y - 20) ** 2 + ((z - 15) * 1.5) ** 2 <= 12.0**2
    assert globe_dsc(ball, Landmark("Eye_L", np.array([20.0, 20.0, 15.0]), 0.0), spacing, 12.0) == pytest.approx(1.0)


def test_rows_that_are_stored_back_to_front_are_put_right(tmp_path: Path) -> None:
    stored = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    about = {"matrix": {"dtype": "int16", "filename": "matrix.dat", "shape": [2, 3, 4]}, "spacing": [0.9, 0.9, 1.5]}
    path = tmp_path / "head.inv3"
    with tarfile.open(path, "w") as archive:
        for name, content in (("main.plist", plistlib.dumps(about)), ("matrix.dat", stored.tobytes())):
            member = tarfile.TarInfo(f"tmp/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    volume = read_inv3(path)
    assert np.array_equal(volume.array, stored[:, ::-1])
    assert volume.geometry.spacing_mm_xyz == (0.9, 0.9, 1.5)
    (tmp_path / "other.inv3").write_bytes(b"no archive")
    with pytest.raises(InputError, match="not an InVesalius project"):
        read_inv3(tmp_path / "other.inv3")


@pytest.mark.skipif(not CRANIUM.is_file(), reason="Debian's package invesalius-examples is not installed")
def test_the_real_ct_has_vitreous_bodies_at_the_landmarks_of_the_eyes() -> None:
    volume = read_inv3()
    marks, _ = read_landmarks()
    for mark in marks:
        x, y, z = np.rint(mark.place).astype(int)
        around = float(volume.array[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2].mean())
        if mark.organ.startswith("Eye"):
            assert -10 < around < 45
        if mark.organ.startswith("Lens"):
            assert around > 40
        if mark.organ.startswith("Cochlea"):
            assert around > 600
