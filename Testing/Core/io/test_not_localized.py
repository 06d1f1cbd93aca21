"""Found, uncertain, not found: one meaning in tables, reports, pages and DICOM. An organ that was drawn without being localized goes out marked, or
not at all, unless a person has looked after it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from focusnet.cli.main import main
from focusnet.cli.scan import organ_table
from focusnet.errors import InputError
from focusnet.image.segmentation import OrganResult, Segmentation
from focusnet.image.volume import Volume
from focusnet.io.export_details import ExportDetails
from focusnet.io.json_report import report
from focusnet.io.review_tags import fingerprint
from focusnet.io.rtstruct_write import write_rtstruct
from focusnet.io.seg_nrrd import read_seg_nrrd, write_seg_nrrd
from focusnet.io.segment_tags import from_tag, tag_text, tagged_status, to_tag
from focusnet.reports.case_page import CaseReport, case_content
from focusnet.reports.cohort import read_cohort
from focusnet.reports.cohort_page import cohort_content

from ..helpers_dicom import small_case
from ..helpers_outputs import MISSING, full_result, organ, scan_and_organs

UNSURE = "SpinalCord"


def with_unsure(organs: Segmentation) -> Segmentation:
    """The cord is drawn, but was not localized."""
    results = tuple(replace(r, found=r.found and r.organ.name != UNSURE) for r in organs.results)
    return replace(organs, results=results)


@pytest.fixture
def case(tmp_path: Path) -> tuple[Volume, Segmentation]:
    volume, organs = small_case(tmp_path)
    return volume, with_unsure(organs)


def observations(path: Path) -> dict[str, str]:
    """ROI name to ROIObservationDescription."""
    data = pydicom.dcmread(path)
    names = {roi.ROINumber: str(roi.ROIName) for roi in data.StructureSetROISequence}
    return {
        names[o.ReferencedROINumber]: str(o.get("ROIObservationDescription", ""))
        for o in data.RTROIObservationsSequence
    }


@pytest.mark.parametrize(
    ("found", "volume_ml", "status"),
    [(True, 1.0, "found"), (False, 1.0, "uncertain"), (False, 0.0, "not found"), (True, 0.0, "not found")],
)
def test_not_found_is_never_said_of_what_is_drawn(found: bool, volume_ml: float, status: str) -> None:
    assert OrganResult(organ=organ("Larynx"), label=1, found=found, volume_ml=volume_ml).status == status


def test_a_files_tag_tells_the_status_of_the_voxels_it_was_written_for() -> None:
    text = to_tag(replace(full_result("Larynx", 1), found=False), 40)
    assert tagged_status(text, 40)[0] == "uncertain"
    assert tagged_status(text, 41) == ("found", ()), "edited since"
    assert tagged_status(text, 0) == ("not found", ())
    assert tagged_status(tag_text({"found": True, "voxels": 40}), 40) == ("found", ()), "an old file"
    assert tagged_status(tag_text({"voxels": 0, "found": False}), 0)[0] == "not found"
    assert tagged_status("no json", 3)[0] == "found"
    for voxels in (0, 40, 41):
        read = from_tag(text, organ("Larynx"), 1, voxels, 0.1)
        assert (read.status, read.warnings) == tagged_status(text, voxels)


def test_a_structure_set_leaves_out_what_was_not_localized_and_says_so(
    case: tuple[Volume, Segmentation], tmp_path: Path
) -> None:
    volume, organs = case
    path = tmp_path / "rs.dcm"
    assert write_rtstruct(organs, volume, path) == [UNSURE, MISSING]
    assert UNSURE not in observations(path)
    described = pydicom.dcmread(path).StructureSetDescription
    assert "Left out, because not localized with confidence: SpinalCord." in described
    assert "Left out, because empty: Larynx." in described


def test_on_request_it_is_written_and_marked(case: tuple[Volume, Segmentation], tmp_path: Path) -> None:
    volume, organs = case
    path = tmp_path / "rs.dcm"
    assert write_rtstruct(organs, volume, path, details=ExportDetails(not_localized="mark")) == [MISSING]
    marked = {name: text for name, text in observations(path).items() if text}
    assert marked == {UNSURE: "not localized"}


@pytest.mark.parametrize("state", ["edited", "approved"])
def test_what_a_person_has_looked_after_is_written_unmarked(
    case: tuple[Volume, Segmentation], tmp_path: Path, state: str
) -> None:
    volume, organs = case
    path = tmp_path / "rs.dcm"
    assert write_rtstruct(organs, volume, path, details=ExportDetails({UNSURE: state})) == [MISSING]
    assert set(observations(path).values()) == {""}


def test_nothing_localized_is_one_line_and_no_file(case: tuple[Volume, Segmentation], tmp_path: Path) -> None:
    volume, organs = case
    alone = replace(organs, results=tuple(r for r in organs.results if r.organ.name == UNSURE))
    alone = replace(alone, labels=organs.labels * (organs.labels == alone.results[0].label).astype("uint8"))
    with pytest.raises(InputError, match=r"No organ was localized with confidence \(SpinalCord\)"):
        write_rtstruct(alone, volume, tmp_path / "rs.dcm")
    assert not (tmp_path / "rs.dcm").exists()
    with pytest.raises(InputError, match="'keep' is unknown; leave-out or mark is expected"):
        ExportDetails(not_localized="keep")


def test_a_dicom_seg_does_the_same(case: tuple[Volume, Segmentation], tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    from focusnet.io.dicom_seg import write_dicom_seg

    volume, organs = case
    assert write_dicom_seg(organs, volume, tmp_path / "out.dcm") == [UNSURE, MISSING]
    marking = ExportDetails(not_localized="mark")
    assert write_dicom_seg(organs, volume, tmp_path / "marked.dcm", details=marking) == [MISSING]
    out, marked = (pydicom.dcmread(tmp_path / f"{name}.dcm").SegmentSequence for name in ("out", "marked"))
    assert UNSURE not in [segment.SegmentLabel for segment in out]
    described = {str(s.SegmentLabel): str(s.get("SegmentDescription", "")) for s in marked}
    assert {name: text for name, text in described.items() if text} == {UNSURE: "not localized"}


def test_the_command_leaves_out_or_marks_and_tells(
    case: tuple[Volume, Segmentation], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "organs.seg.nrrd"
    write_seg_nrrd(case[1], source)
    assert read_seg_nrrd(source).results[1].status == "uncertain"
    command = ["export", str(source), "--ct", str(tmp_path / "ct"), "--dicom", "rtstruct", "-o"]
    assert main([*command, str(tmp_path / "out.dcm")]) == 0
    told = capsys.readouterr().err
    assert "Left out, because not localized with confidence: SpinalCord." in told
    assert UNSURE not in observations(tmp_path / "out.dcm")
    assert main([*command, str(tmp_path / "marked.dcm"), "--not-localized", "mark"]) == 0
    assert "Not localized with confidence, written all the same: SpinalCord." in capsys.readouterr().err
    assert observations(tmp_path / "marked.dcm")[UNSURE] == "not localized"


def test_an_absence_that_a_person_confirmed_is_told_as_such(
    case: tuple[Volume, Segmentation], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    organs, source = case[1], tmp_path / "organs.seg.nrrd"
    record = {"state": "approved", "approved": fingerprint(organs.mask(MISSING), organs), "by": "Dr. Who"}
    write_seg_nrrd(organs, source, tags={MISSING: {"FocusNet.Review": json.dumps(record)}})
    target = tmp_path / "rs.dcm"
    assert main(["export", str(source), "--ct", str(tmp_path / "ct"), "--dicom", "rtstruct", "-o", str(target)]) == 0
    told = capsys.readouterr().err
    assert "Confirmed absent: Larynx." in told
    assert "because empty" not in told
    assert "Confirmed absent: Larynx." in pydicom.dcmread(target).StructureSetDescription


def test_table_report_and_pages_say_the_same(tmp_path: Path) -> None:
    scan, organs = scan_and_organs()
    organs = with_unsure(organs)
    expected = {r.organ.name: "found" for r in organs.results} | {UNSURE: "uncertain", MISSING: "not found"}
    lines = {line.split()[0]: line for line in organ_table(organs).splitlines()[1:]}
    assert all(f" {status} " in lines[name] for name, status in expected.items())
    written = report(organs)
    assert {o["name"]: o["status"] for o in written["organs"]} == expected
    assert {o["name"]: o["status"] for o in case_content(CaseReport(scan, organs))["organs"]} == expected
    (tmp_path / "a.json").write_text(json.dumps(written))
    for entry in written["organs"]:  # as a version before wrote it
        del entry["status"]
    (tmp_path / "b.json").write_text(json.dumps(written))
    cohort = read_cohort(tmp_path)
    for each in cohort.cases:
        assert (each.uncertain, each.not_found) == ([UNSURE], [MISSING])
    rows = {row["name"]: row for row in cohort_content(cohort)["organs"]}
    assert [(rows[n]["found"], rows[n]["uncertain"], rows[n]["missing"]) for n in ("Brainstem", UNSURE, MISSING)] == [
        (2, 0, 0),
        (0, 2, 0),
        (0, 0, 2),
    ]
