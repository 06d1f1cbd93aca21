"""The phantom stands in for a patient: all 22 organs, in their places, readable as NRRD and as DICOM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from focusnet.errors import OutputError
from focusnet.io import read_volume
from focusnet.io.checks import check_ct
from focusnet.io.seg_nrrd import read_seg_nrrd
from focusnet.phantom import phantom, write_phantom
from focusnet.segmentation import Segmentation
from focusnet.volume import Volume

COARSE = (2.0, 2.0, 3.0)
VOLUMES_ML = {  # rough adult sizes
    "Brainstem": (20, 45), "SpinalCord": (8, 25), "OpticChiasm": (0.2, 1.2), "Pituitary": (0.3, 1.2), "Eye": (5, 10), "Lens": (0.1, 0.5),
    "OpticNrv": (0.4, 1.8), "Lobe_Temporal": (40, 90), "Parotid": (12, 35), "Ear_Internal": (0.4, 2), "Ear_Middle": (0.4, 2),
    "Joint_TM": (1, 4), "Bone_Mandible": (10, 35),
}  # fmt: skip


@pytest.fixture(scope="module")
def made() -> tuple[Volume, Segmentation]:
    return phantom(0)


def test_all_22_organs_are_there_with_plausible_volumes(made: tuple[Volume, Segmentation]) -> None:
    results = made[1].results
    assert len(results) == 22
    for row in results:
        low, high = VOLUMES_ML[row.organ.name.removesuffix("_L").removesuffix("_R")]
        assert low < row.volume_ml < high, (row.organ.name, row.volume_ml)


def test_left_organs_are_on_the_patients_left(made: tuple[Volume, Segmentation]) -> None:
    volume, reference = made
    for row in reference.results:
        x_mm = volume.geometry.index_to_mm(np.argwhere(reference.labels == row.label)).mean(axis=0)[0]
        if row.organ.side:
            assert (x_mm > 0) == (row.organ.side == "left"), row.organ.name
        else:
            assert abs(x_mm) < 10


@pytest.mark.parametrize(
    ("organ", "low", "high"),
    [
        ("Parotid_L", -30, 40),
        ("Brainstem", 10, 60),
        ("Bone_Mandible_R", 300, 1100),
        ("Ear_Middle_L", -800, 0),
        ("Eye_R", -30, 60),
    ],
)
def test_organs_have_their_tissues_hu(made: tuple[Volume, Segmentation], organ: str, low: float, high: float) -> None:
    volume, reference = made
    assert low < float(np.median(volume.array[reference.mask(organ)])) < high


def test_the_phantom_passes_the_checks_of_a_real_scan(made: tuple[Volume, Segmentation]) -> None:
    assert check_ct(made[0]) == ["Synthetic phantom, not a patient."]


def test_a_seed_is_a_patient() -> None:
    first, again, other = (phantom(seed, COARSE) for seed in (3, 3, 4))
    assert np.array_equal(first[0].array, again[0].array)
    assert np.array_equal(first[1].labels, again[1].labels)
    assert not np.array_equal(first[1].labels, other[1].labels)


def test_nrrd_and_dicom_hold_the_same_scan_voxel_for_voxel(tmp_path: Path) -> None:
    ct, labels, folder = write_phantom(tmp_path, seed=1, dicom=True, spacing_mm_xyz=COARSE)
    volume, reference = phantom(1, COARSE)
    by_nrrd, by_dicom = read_volume(ct), read_volume(folder)
    for read in (by_nrrd, by_dicom):
        assert np.array_equal(read.array, volume.array)
        assert read.geometry.same_grid_as(volume.geometry)
    assert np.array_equal(read_seg_nrrd(labels).labels, reference.labels)
    assert len(set(by_dicom.dicom_uids["instances"])) == volume.array.shape[0]  # type: ignore[arg-type, call-overload]
    reader = sitk.ImageSeriesReader()  # another library's view of the same files
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    theirs = reader.Execute()
    assert np.array_equal(sitk.GetArrayFromImage(theirs), volume.array)
    np.testing.assert_allclose(theirs.GetOrigin(), volume.geometry.origin_mm_xyz, atol=1e-3)


def test_nothing_is_overwritten_without_being_asked(tmp_path: Path) -> None:
    write_phantom(tmp_path, spacing_mm_xyz=(4.0, 4.0, 4.0))
    with pytest.raises(OutputError, match="exists"):
        write_phantom(tmp_path, spacing_mm_xyz=(4.0, 4.0, 4.0))
    write_phantom(tmp_path, spacing_mm_xyz=(4.0, 4.0, 4.0), overwrite=True)
