"""The phantom stands in for a patient: all 22 organs, in their places, readable as NRRD and as DICOM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from scipy import ndimage

from focusnet.errors import OutputError
from focusnet.image.organs import mirrored, without_side
from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Volume
from focusnet.io import read_volume
from focusnet.io.ct_checks import check_ct
from focusnet.io.seg_nrrd import read_seg_nrrd
from focusnet.phantom.anatomy import with_others
from focusnet.phantom.write import phantom, write_phantom
from focusnet.qa.organ_scores import LOOK_AT
from focusnet.qa.ranking import rank_organs

COARSE = (2.0, 2.0, 3.0)
VOLUMES_ML = {  # rough adult sizes
    "Brainstem": (20, 45), "SpinalCord": (8, 25), "OpticChiasm": (0.2, 1.2), "Pituitary": (0.3, 1.2), "Eye": (5, 10), "Lens": (0.1, 0.5),
    "OpticNrv": (0.4, 1.8), "Lobe_Temporal": (40, 90), "Parotid": (12, 35), "Ear_Internal": (0.4, 2), "Ear_Middle": (0.4, 2),
    "Joint_TM": (1, 4), "Bone_Mandible": (10, 35),
}  # fmt: skip
MEDIAN_HU = {
    "Brainstem": (15, 50), "SpinalCord": (15, 55), "OpticChiasm": (0, 60), "Pituitary": (30, 100), "Eye": (-15, 40), "Lens": (45, 125),
    "OpticNrv": (-10, 55), "Lobe_Temporal": (20, 55), "Parotid": (-30, 40), "Ear_Internal": (150, 900), "Ear_Middle": (-800, -200),
    "Joint_TM": (60, 600), "Bone_Mandible": (500, 1400),
}  # fmt: skip

QA_ORGANS = (
    "Brain", "Brainstem", "SpinalCord", "Parotid_R", "Parotid_L", "Esophagus", "Larynx", "Bone_Mandible", "Eye_L", "Eye_R", "Lens_L", "Lens_R",
    "OpticNrv_L", "OpticNrv_R", "Cochlea_L", "Cochlea_R", "Glnd_Lacrimal_L", "Glnd_Lacrimal_R", "Glnd_Submand_L", "Glnd_Submand_R",
)  # fmt: skip


def _tilt_degrees(made: tuple[Volume, Segmentation]) -> np.ndarray:
    """How far the line from the right inner ear to the left one turns from the x axis: seen from above, seen from the front."""
    volume, reference = made
    right, left = (
        volume.geometry.index_to_mm(np.argwhere(reference.mask(f"Ear_Internal_{side}"))).mean(axis=0) for side in "RL"
    )
    x, y, z = left - right
    return np.degrees(np.arctan2((y, z), x))


@pytest.fixture(scope="module")
def made() -> tuple[Volume, Segmentation]:
    return phantom(0)


def test_all_22_organs_are_there_with_plausible_volumes(made: tuple[Volume, Segmentation]) -> None:
    results = made[1].results
    assert len(results) == 22
    for row in results:
        low, high = VOLUMES_ML[without_side(row.organ.name)]
        assert low < row.volume_ml < high, (row.organ.name, row.volume_ml)


def test_left_organs_are_on_the_patients_left(made: tuple[Volume, Segmentation]) -> None:
    volume, reference = made
    for row in reference.results:
        x_mm = volume.geometry.index_to_mm(np.argwhere(reference.labels == row.label)).mean(axis=0)[0]
        if row.organ.side:
            assert (x_mm > 0) == (row.organ.side == "left"), row.organ.name
        else:
            assert abs(x_mm) < 10


def test_organs_have_their_tissues_hu(made: tuple[Volume, Segmentation]) -> None:
    volume, reference = made
    for row in reference.results:
        low, high = MEDIAN_HU[without_side(row.organ.name)]
        median = float(np.median(volume.array[reference.mask(row.organ.name)]))
        assert low < median < high, (row.organ.name, median)


@pytest.mark.parametrize(
    "organ", ["Brainstem", "SpinalCord", "Lobe_Temporal_L", "Lobe_Temporal_R", "Parotid_L", "Parotid_R"]
)
def test_no_other_tissue_lies_in_a_soft_organ(made: tuple[Volume, Segmentation], organ: str) -> None:
    volume, reference = made
    inside = ndimage.binary_erosion(reference.mask(organ))  # its rim is blurred with what lies beside it
    assert np.mean(np.abs(volume.array[inside] - np.median(volume.array[inside])) < 70) > 0.99


def test_skin_fat_bone_teeth_airway_and_couch_are_there(made: tuple[Volume, Segmentation]) -> None:
    volume, reference = made
    hu = volume.array
    share = {
        name: np.mean((hu > low) & (hu < high))
        for name, low, high in (("fat", -150, -60), ("soft", 0, 90), ("bone", 600, 1500))
    }
    assert 0.02 < share["fat"] < 0.15
    assert 0.06 < share["soft"] < 0.3
    assert 0.01 < share["bone"] < 0.06
    assert hu.max() > 1800  # teeth
    below = hu[:, round(volume.geometry.mm_to_index(np.array([0.0, 129.0, 0.0]))[1])]
    assert np.median(below) > -500  # the couch's shell
    body, _ = ndimage.label(hu > -400)
    cord = body[tuple(np.argwhere(reference.mask("SpinalCord"))[0])]
    filled = np.stack([ndimage.binary_fill_holes(part) for part in body == cord])
    airway = filled & (hu < -900)
    assert airway.any(axis=(1, 2))[10:65].all()  # from the trachea to the nose


def test_left_and_right_are_mirror_images_but_not_copies(made: tuple[Volume, Segmentation]) -> None:
    volumes = {row.organ.name: row.volume_ml for row in made[1].results}
    for name, left in volumes.items():
        if name.endswith("_L"):
            right = volumes[mirrored(name)]
            assert 0.75 < left / right < 1.33, name
    assert volumes["Parotid_L"] != volumes["Parotid_R"]


def test_the_phantom_passes_the_checks_of_a_real_scan(made: tuple[Volume, Segmentation]) -> None:
    assert check_ct(made[0]) == ["Synthetic phantom, not a patient."]


def test_the_brainstem_lies_behind_the_clivus_and_goes_over_into_the_cord(made: tuple[Volume, Segmentation]) -> None:
    volume, reference = made
    stem, cord = reference.mask("Brainstem"), reference.mask("SpinalCord")
    slices = np.flatnonzero(stem.any(axis=(1, 2)))
    for k in slices[1 : len(slices) * 2 // 3]:
        y, x = np.argwhere(stem[k]).mean(axis=0).round().astype(int)
        front = int(np.flatnonzero(stem[k, :, x])[0])
        assert volume.array[k, front - 20 : front - 1, x].max() > 300, k  # bone within 2 cm before it
        assert np.median(volume.array[k, y : y + 40, x]) < 100  # fluid and brain behind it
    lowest, highest = slices[0], np.flatnonzero(cord.any(axis=(1, 2)))[-1]
    assert lowest - highest == 1
    ends = [np.argwhere(mask[k]).mean(axis=0) for mask, k in ((stem, lowest), (cord, highest))]
    assert np.abs(ends[0] - ends[1]).max() < 2


def test_the_organs_have_sizes_and_places_of_real_ones() -> None:
    volume, reference = phantom(0, organs=QA_ORGANS)
    ranked = rank_organs(reference, volume).organs
    assert len(ranked) == len(QA_ORGANS)
    flagged = [organ.organ.name for organ in ranked if organ.group == LOOK_AT]
    assert len(flagged) <= 2, flagged


def test_other_organs_can_be_asked_for_and_have_labels_in_that_order() -> None:
    names = ["Larynx", "Brain", "Cochlea_L", "Ear_Internal_L", "Bone_Mandible", "Lung_L"]
    volume, some = phantom(0, COARSE, names)
    paper = phantom(0, COARSE)[1]
    assert [(row.organ.name, row.label) for row in some.results] == [
        (n, k) for k, n in enumerate(names[:-1], 1)
    ]  # no lungs
    sizes = {row.organ.name: row.volume_ml for row in some.results}
    assert 1000 < sizes["Brain"] < 1700
    assert 10 < sizes["Larynx"] < 40
    inner, cochlea = some.mask("Ear_Internal_L"), some.mask("Cochlea_L")
    assert cochlea.any()
    assert np.array_equal(inner | cochlea, paper.mask("Ear_Internal_L"))  # a part lies over the whole
    assert np.array_equal(some.mask("Bone_Mandible"), paper.mask("Bone_Mandible_L") | paper.mask("Bone_Mandible_R"))
    assert volume.geometry.same_grid_as(some.geometry)


def test_the_demos_organs_are_the_models_and_the_papers_others_without_parts_of_them() -> None:
    names = with_others(["Brain", "Bone_Mandible", "Nothing"])
    assert names[:2] == ["Brain", "Bone_Mandible"]
    assert "Lens_L" in names
    assert not {"Lobe_Temporal_L", "Bone_Mandible_R", "Nothing"} & set(names)
    assert len(names) == len(set(names))


def test_a_seed_is_a_patient() -> None:
    first, again, other = (phantom(seed, COARSE) for seed in (3, 3, 4))
    assert all(row.found for made in (first, other) for row in made[1].results)
    assert np.abs(_tilt_degrees(first) - _tilt_degrees(other)).max() > 0.5  # another pose, not only other noise
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
    np.testing.assert_allclose(theirs.GetSpacing(), volume.geometry.spacing_mm_xyz, atol=1e-3)
    np.testing.assert_allclose(theirs.GetDirection(), np.eye(3).ravel(), atol=1e-6)


def test_every_slice_says_that_it_is_synthetic_and_uids_name_one_scan_only(tmp_path: Path) -> None:
    def uids(folder: str, seed: int, spacing: tuple[float, float, float]) -> list[str]:
        series = write_phantom(tmp_path / folder, seed, dicom=True, spacing_mm_xyz=spacing)[2]
        slices = [pydicom.dcmread(path) for path in sorted(series.iterdir())]
        assert all("synthetic phantom" in data.SeriesDescription.lower() for data in slices)
        assert all(data.RescaleIntercept == -1024 and data.SOPClassUID.name == "CT Image Storage" for data in slices)
        return [slices[0].FrameOfReferenceUID, slices[0].SeriesInstanceUID, slices[0].SOPInstanceUID]

    first, again = uids("first", 0, (5, 5, 6)), uids("again", 0, (5, 5, 6))
    finer, other = (
        uids("finer", 0, (14 / 3, 14 / 3, 16 / 3)),
        uids("other", 1, (5, 5, 6)),
    )  # thirds have no end in decimals
    assert first == again
    assert finer[0] == first[0]  # the same patient in the same place
    assert not set(finer[1:]) & set(first)
    assert not set(other) & set(first)


def test_nothing_is_overwritten_without_being_asked(tmp_path: Path) -> None:
    write_phantom(tmp_path, spacing_mm_xyz=(4.0, 4.0, 4.0))
    with pytest.raises(OutputError, match="exists"):
        write_phantom(tmp_path, spacing_mm_xyz=(4.0, 4.0, 4.0))
    write_phantom(tmp_path, spacing_mm_xyz=(4.0, 4.0, 4.0), overwrite=True)


def test_a_patients_scan_in_the_way_is_never_removed(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine" / "dicom", tmp_path / "theirs" / "dicom"
    for folder in (mine, theirs):
        write_phantom(folder.parent, dicom=True, spacing_mm_xyz=(10.0, 10.0, 12.0))
    scan = next(theirs.iterdir())
    data = pydicom.dcmread(scan)
    data.PatientName = "Somebody^Real"
    data.save_as(scan)
    before = (theirs.parent / "ct.nrrd").read_bytes()
    with pytest.raises(OutputError, match="more than a phantom"):
        write_phantom(theirs.parent, seed=1, dicom=True, overwrite=True, spacing_mm_xyz=(10.0, 10.0, 12.0))
    assert scan.exists()
    assert (theirs.parent / "ct.nrrd").read_bytes() == before  # refused before anything was written
    write_phantom(mine.parent, seed=1, dicom=True, overwrite=True, spacing_mm_xyz=(10.0, 10.0, 12.0))
    assert pydicom.dcmread(next(mine.iterdir())).PatientID == "PHANTOM-1"
    assert sorted(p.name for p in mine.parent.iterdir()) == ["ct.nrrd", "dicom", "reference.seg.nrrd"]
