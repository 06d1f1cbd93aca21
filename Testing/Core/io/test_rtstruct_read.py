"""A structure set of another program becomes a reference: the right organs, the right voxels, and a word about what was not used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from focusnet.errors import InputError
from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Volume
from focusnet.io.rtstruct_read import read_rtstruct, read_structures
from focusnet.io.rtstruct_write import write_rtstruct

from ..helpers_dicom import small_case


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> tuple[Volume, Segmentation]:
    return small_case(tmp_path_factory.mktemp("read"))


def changed(case: tuple[Volume, Segmentation], folder: Path, change: Callable[[pydicom.Dataset], object]) -> Path:
    """Our file as if another program had written it: "Brainstem", "SpinalCord", "Parotid_R", "Parotid_L"."""
    volume, organs = case
    path = folder / "rs.dcm"
    write_rtstruct(organs, volume, path, overwrite=True)
    data = pydicom.dcmread(path)
    change(data)
    data.save_as(path)
    return path


def add_structure(data: pydicom.Dataset, volume: Volume, name: str, *squares: tuple[int, float, float, float]) -> None:
    """A structure of squares (slice, first, last column and row) in voxels."""
    number = len(data.StructureSetROISequence) + 1
    roi = Dataset()
    roi.ROINumber, roi.ROIName = number, name
    roi.ReferencedFrameOfReferenceUID = data.FrameOfReferenceUID
    item = Dataset()
    item.ReferencedROINumber, item.ContourSequence = number, []
    for z, low, high, row in squares:
        corners = np.array([(z, row, low), (z, row, high), (z, high, high), (z, high, low)], float)
        contour = Dataset()
        contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", 4
        contour.ContourData = [f"{v:.3f}" for v in volume.geometry.index_to_mm(corners).ravel()]
        item.ContourSequence.append(contour)
    data.StructureSetROISequence.append(roi)
    data.ROIContourSequence.append(item)


def test_a_clinics_names_are_recognised_and_the_strange_ones_listed(
    case: tuple[Volume, Segmentation], tmp_path: Path
) -> None:
    def rename(data: pydicom.Dataset) -> None:
        for roi, name in zip(
            data.StructureSetROISequence, ("Brain Stem", "cord", "PTV 70", "Parotid-Lt"), strict=False
        ):
            roi.ROIName = name

    volume, organs = case
    back = read_rtstruct(changed(case, tmp_path, rename), volume)
    assert [r.organ.name for r in back.results] == ["Brainstem", "SpinalCord", "Parotid_L"]
    assert back.provenance["unknown_names"] == ["PTV 70"]
    assert np.array_equal(back.mask("Parotid_L"), organs.mask("Parotid_L"))
    assert not back.labels[organs.mask("Parotid_R")].any()
    asked = read_rtstruct(tmp_path / "rs.dcm", volume, organs=["PTV 70", "brainstem"])
    assert [r.organ.name for r in asked.results] == ["Brainstem", "PTV 70"]
    assert np.array_equal(asked.mask("PTV 70"), organs.mask("Parotid_R"))
    with pytest.raises(InputError, match="has no Lens_L; it has Brain Stem, cord"):
        read_rtstruct(tmp_path / "rs.dcm", volume, organs=["Lens_L"])


def test_the_bodys_outline_takes_no_voxel_from_an_organ(case: tuple[Volume, Segmentation], tmp_path: Path) -> None:
    volume, organs = case
    path = changed(
        case, tmp_path, lambda d: add_structure(d, volume, "Brain", *((z, 2.3, 33.4, 2.3) for z in range(2, 29)))
    )
    back = read_rtstruct(path, volume)
    for name in ("Brainstem", "Parotid_R", "Parotid_L"):
        assert np.array_equal(back.mask(name), organs.mask(name)), name
    brain = next(r for r in back.results if r.organ.name == "Brain")
    assert "voxels went to smaller structures" in brain.warnings[0]
    whole = next(s for s in read_structures(path, volume) if s.name == "Brain")
    assert len(whole.voxels) == 27 * 31 * 31  # as it is in the file


def test_a_contour_counts_the_voxel_centres_inside_it_not_the_pixels_it_touches(
    case: tuple[Volume, Segmentation], tmp_path: Path
) -> None:
    volume, _ = case
    path = changed(case, tmp_path, lambda d: add_structure(d, volume, "Larynx", (5, 3.6, 9.4, 3.6)))
    mask = read_rtstruct(path, volume, organs=["Larynx"]).mask("Larynx")
    assert np.argwhere(mask).min(axis=0).tolist() == [5, 4, 4]
    assert np.argwhere(mask).max(axis=0).tolist() == [5, 9, 9]
    assert mask.sum() == 36


def test_contours_through_the_outermost_voxel_centres_hold_these_voxels_as_dicom_has_it(
    case: tuple[Volume, Segmentation], tmp_path: Path
) -> None:
    """As rt-utils draws: squares of voxel centres, a single voxel as one point, two as a line."""
    volume, _ = case

    def draw(data: pydicom.Dataset) -> None:
        add_structure(data, volume, "Larynx", (5, 4, 9, 4), (5, 6, 7, 6), (6, 4, 9, 4), (7, 4, 9, 4))
        item = data.ROIContourSequence[-1]
        for at, points in ((2, 1), (3, 2)):
            item.ContourSequence[at].ContourData = item.ContourSequence[at].ContourData[: 3 * points]
            item.ContourSequence[at].NumberOfContourPoints = points

    mask = read_rtstruct(changed(case, tmp_path, draw), volume, organs=["Larynx"]).mask("Larynx")
    assert mask[5].sum() == 36  # the inner contour runs through voxels, none of which lies strictly inside it
    assert np.argwhere(mask[6]).tolist() == [[4, 4]]
    assert np.argwhere(mask[7]).tolist() == [[4, column] for column in range(4, 10)]


def test_holes_drawn_as_inner_contours_stay_holes_and_a_contour_given_twice_does_not_vanish(
    case: tuple[Volume, Segmentation], tmp_path: Path
) -> None:
    volume, _ = case

    def draw(data: pydicom.Dataset) -> None:
        add_structure(
            data, volume, "Larynx", (5, 3.5, 12.5, 3.5), (5, 6.5, 8.5, 6.5), (7, 3.5, 6.5, 3.5), (7, 3.5, 6.5, 3.5)
        )

    mask = read_rtstruct(changed(case, tmp_path, draw), volume, organs=["Larynx"]).mask("Larynx")
    assert mask[5].sum() == 9 * 9 - 2 * 2
    assert mask[7].sum() == 3 * 3


def test_holes_drawn_in_the_way_of_dicom_2020_stay_holes(case: tuple[Volume, Segmentation], tmp_path: Path) -> None:
    volume, _ = case

    def draw(data: pydicom.Dataset) -> None:
        add_structure(data, volume, "Larynx", (5, 3.5, 12.5, 3.5), (5, 6.5, 8.5, 6.5))
        for contour in data.ROIContourSequence[-1].ContourSequence:
            contour.ContourGeometricType = "CLOSEDPLANAR_XOR"

    found = read_rtstruct(changed(case, tmp_path, draw), volume, organs=["Larynx"])
    assert found.mask("Larynx")[5].sum() == 9 * 9 - 2 * 2
    assert not found.results[0].warnings


def test_contours_of_neighbouring_planes_that_fall_on_one_slice_are_joined(
    case: tuple[Volume, Segmentation], tmp_path: Path
) -> None:
    """As drawn on thinner slices: each plane keeps its hole, and what both hold does not vanish."""
    volume, _ = case

    def draw(data: pydicom.Dataset) -> None:
        add_structure(
            data, volume, "Larynx", (5, 3.5, 12.5, 3.5), (5, 6.5, 8.5, 6.5), (5.2, 3.5, 12.5, 3.5), (5.2, 6.5, 9.5, 6.5)
        )

    mask = read_rtstruct(changed(case, tmp_path, draw), volume, organs=["Larynx"]).mask("Larynx")
    assert mask[5].sum() == 9 * 9 - 2 * 2
    assert mask.sum() == mask[5].sum()


def test_what_leaves_the_image_is_cut_and_said(case: tuple[Volume, Segmentation], tmp_path: Path) -> None:
    volume, _ = case
    path = changed(
        case, tmp_path, lambda d: add_structure(d, volume, "Larynx", (5, -9.0, 3.5, -9.0), (30, 3.5, 6.5, 3.5))
    )
    found = read_rtstruct(path, volume, organs=["Larynx"])
    assert found.mask("Larynx").sum() == 4 * 4
    words = " ".join(found.results[0].warnings)
    assert "1 contour leaves the image" in words
    assert "1 contour lies above or below the scan" in words


def test_points_lines_and_contours_between_voxels_are_said_to_hold_nothing(
    case: tuple[Volume, Segmentation], tmp_path: Path
) -> None:
    volume, _ = case

    def draw(data: pydicom.Dataset) -> None:
        add_structure(data, volume, "Larynx", (5, 3.2, 3.7, 3.2), (6, 3.5, 6.5, 3.5))
        data.ROIContourSequence[-1].ContourSequence[1].ContourGeometricType = "OPEN_PLANAR"

    found = read_rtstruct(changed(case, tmp_path, draw), volume, organs=["Larynx", "Brainstem"])
    larynx = next(r for r in found.results if r.organ.name == "Larynx")
    assert not larynx.found
    assert larynx.warnings == (
        "1 contour is a point or an open line and encloses nothing; close it where it was drawn.",
        "No voxel centre lies inside its contours.",
    )


def test_what_cannot_be_a_reference_is_refused_in_one_line(case: tuple[Volume, Segmentation], tmp_path: Path) -> None:
    volume, _ = case

    def twice(data: pydicom.Dataset) -> None:
        data.StructureSetROISequence[1].ROIName = "Brain stem"

    def strange(data: pydicom.Dataset) -> None:
        for roi in data.StructureSetROISequence:
            roi.ROIName = f"Target {roi.ROINumber}"

    def damaged(data: pydicom.Dataset) -> None:
        data.ROIContourSequence[0].ContourSequence[0].ContourData = ["1.5", "2.5", "0", "7"]

    def nothing(data: pydicom.Dataset) -> None:
        data.ROIContourSequence = []

    for change, words in (
        (twice, "'Brainstem' and 'Brain stem' are both Brainstem"),
        (strange, "no contours of an organ that is known here; it has Target 1, Target 2"),
        (damaged, "a contour of Brainstem is damaged"),
        (nothing, "it has no structure"),
        (lambda data: setattr(data, "Modality", "RTPLAN"), "is RTPLAN, not an RTSTRUCT"),
    ):
        with pytest.raises(InputError, match=words):
            read_rtstruct(changed(case, tmp_path, change), volume)
    (tmp_path / "text.dcm").write_text("hello")
    with pytest.raises(InputError, match="cannot be read as DICOM"):
        read_rtstruct(tmp_path / "text.dcm", volume)


def test_a_structure_set_of_another_scan_is_refused(case: tuple[Volume, Segmentation], tmp_path: Path) -> None:
    volume, _ = case
    path = changed(case, tmp_path, lambda data: None)
    uids = {**volume.dicom_uids, "frame_of_reference": "1.2.3", "instances": ["1.2"] * len(volume.array)}
    with pytest.raises(InputError, match="another frame of reference"):
        read_rtstruct(path, replace(volume, dicom_uids=uids))
    x, y, z = volume.geometry.origin_mm_xyz
    for origin, words in (
        ((x, y, z + 1.5), "does not lie on a slice"),
        ((x, y, z + 400.0), "no contour encloses a voxel"),
    ):
        with pytest.raises(InputError, match=words):
            read_rtstruct(path, replace(volume, geometry=replace(volume.geometry, origin_mm_xyz=origin)))


def in_another_frame(data: pydicom.Dataset) -> None:
    for roi in data.StructureSetROISequence:
        roi.ReferencedFrameOfReferenceUID = "1.2.3"


def test_another_frame_of_reference_is_read_with_a_warning_if_the_contours_lie_on_the_slices_that_they_name(
    case: tuple[Volume, Segmentation], tmp_path: Path
) -> None:
    volume, _ = case
    found = read_rtstruct(changed(case, tmp_path, in_another_frame), volume)
    plain = read_rtstruct(changed(case, tmp_path, lambda data: None), volume)
    assert np.array_equal(found.labels, plain.labels)
    assert not plain.provenance["notes"]
    assert "names another frame of reference" in found.provenance["notes"][0]


def test_another_frame_of_reference_is_refused_if_one_contour_lies_elsewhere_than_it_says(
    case: tuple[Volume, Segmentation], tmp_path: Path
) -> None:
    volume, _ = case

    def moved(data: pydicom.Dataset) -> None:
        in_another_frame(data)
        contours = data.ROIContourSequence[0].ContourSequence
        contours[0].ContourImageSequence, contours[-1].ContourImageSequence = (
            contours[-1].ContourImageSequence,
            contours[0].ContourImageSequence,
        )

    def unnamed(data: pydicom.Dataset) -> None:
        in_another_frame(data)
        del data.ROIContourSequence[0].ContourSequence[0].ContourImageSequence

    for change in (moved, unnamed):
        with pytest.raises(InputError, match="another frame of reference"):
            read_rtstruct(changed(case, tmp_path, change), volume)


def test_an_organ_without_contours_is_listed_and_not_found(case: tuple[Volume, Segmentation], tmp_path: Path) -> None:
    volume, _ = case

    def emptied(data: pydicom.Dataset) -> None:
        del data.ROIContourSequence[0].ContourSequence

    found = read_rtstruct(changed(case, tmp_path, emptied), volume)
    assert found.provenance["empty_names"] == ["Brainstem"]
    assert "Brainstem" not in {r.organ.name for r in found.results}


def test_contours_that_skip_slices_are_said_to(case: tuple[Volume, Segmentation], tmp_path: Path) -> None:
    volume, _ = case

    def thinned(data: pydicom.Dataset) -> None:
        item = data.ROIContourSequence[0]
        heights = sorted({float(c.ContourData[2]) for c in item.ContourSequence})[::2]
        item.ContourSequence = [c for c in item.ContourSequence if float(c.ContourData[2]) in heights]

    first = read_rtstruct(changed(case, tmp_path, thinned), volume).results[0]
    assert "The contours skip slices: only every second of 4 mm is drawn." in first.warnings
    assert not read_rtstruct(changed(case, tmp_path, lambda data: None), volume).results[0].warnings


def test_names_are_what_the_user_says_they_are(case: tuple[Volume, Segmentation], tmp_path: Path) -> None:
    volume, _ = case

    def renamed(data: pydicom.Dataset) -> None:
        data.StructureSetROISequence[0].ROIName = "zz stem"
        data.StructureSetROISequence[1].ROIName = "Larynx"

    path = changed(case, tmp_path, renamed)
    assert read_rtstruct(path, volume).provenance["unknown_names"] == ["zz stem"]
    found = read_rtstruct(path, volume, names={"zz stem": "Brainstem", "Larynx": ""})
    assert found.provenance["unknown_names"] == []
    assert "Brainstem" in {r.organ.name for r in found.results}
    assert "Larynx" not in {r.organ.name for r in found.results}


def test_a_contouring_programs_copy_gives_way_to_the_plain_name(
    case: tuple[Volume, Segmentation], tmp_path: Path
) -> None:
    volume, _ = case

    def copied(data: pydicom.Dataset) -> None:
        data.StructureSetROISequence[1].ROIName = "Brainstem_MBS"

    found = read_rtstruct(changed(case, tmp_path, copied), volume)
    plain = read_rtstruct(changed(case, tmp_path, lambda data: None), volume)
    assert np.array_equal(found.mask("Brainstem"), plain.mask("Brainstem"))
    assert "'Brainstem_MBS' and 'Brainstem' are both Brainstem; 'Brainstem' was read." in found.provenance["notes"][0]
