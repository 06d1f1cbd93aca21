"""Which scans a batch finds, what of them it contours, and what stands in summary.csv."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import pydicom
import pytest

from focusnet.batch import contour
from focusnet.batch.contour import BatchOptions, contour_scan
from focusnet.batch.scans import Scan, choose_series, find_scans, opened
from focusnet.batch.summary import Summary
from focusnet.errors import InputError
from focusnet.phantom.dicom import write_dicom_series

from ..helpers_engine import head
from ..helpers_images import add_series, write_dicom, write_image
from ..stand_in_model import ORGANS, boxes


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contour, "run_model", lambda volume, *_: boxes(volume))


def options_for(folder: Path, **more: object) -> BatchOptions:
    (folder / "out").mkdir(exist_ok=True)
    return BatchOptions(output=str(folder / "out"), model="stand-in", **more)  # type: ignore[arg-type]


def two_series(folder: Path) -> tuple[Path, str, str]:
    """One folder with a series of 13 slices and one of 20; returns it and both UIDs, the longer one last."""
    write_dicom_series(head((13, 48, 44), seed=1), folder, 1)
    write_dicom_series(head((20, 48, 44), seed=2), folder.with_name("other"), 2)
    for path in folder.with_name("other").iterdir():
        path.rename(folder / f"b_{path.name}")
    folder.with_name("other").rmdir()
    uids = [str(pydicom.dcmread(folder / name).SeriesInstanceUID) for name in ("slice_0001.dcm", "b_slice_0001.dcm")]
    return folder, uids[0], uids[1]


def zipped(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w") as target:
        for path in sorted(folder.rglob("*")):
            target.write(path, Path("deep") / path.relative_to(folder))
    return archive


def test_images_archives_and_dicom_folders_are_found_under_names_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write_image(head(), tmp_path / "a" / "ct.nrrd")
    write_dicom(tmp_path / "b")
    zipped(tmp_path / "b", tmp_path / "c.zip")
    (tmp_path / "a" / "organs.seg.nrrd").write_text("a result, not a scan")
    assert [scan.name for scan in find_scans(tmp_path)] == ["a__ct", "b", "c"]
    (tmp_path / "c.nrrd").touch()
    with pytest.raises(InputError, match=r"both be written as c\.seg\.nrrd"):
        find_scans(tmp_path)


def test_a_zipped_dicom_series_is_contoured_exported_and_cleaned_away(tmp_path: Path) -> None:
    write_dicom_series(head((20, 48, 44)), tmp_path / "ct", 0)
    archive = zipped(tmp_path / "ct", tmp_path / "patient.zip")
    options = options_for(tmp_path, dicom="rtstruct", picture=True)
    (row,) = contour_scan(Scan("patient", archive), options)
    assert row["status"] == "done", row
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"patient.seg.nrrd", "patient.json", "patient.rtstruct.dcm", "patient.png"}
    with opened(archive) as folder:
        assert any(folder.rglob("*.dcm"))
    assert not folder.exists()


def test_a_zipped_image_is_read_as_the_image(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    write_image(head(), tmp_path / "x" / "ct.nii.gz")
    (row,) = contour_scan(Scan("x", zipped(tmp_path / "x", tmp_path / "x.zip")), options_for(tmp_path))
    assert row["status"] == "done", row


def test_a_damaged_or_a_huge_archive_is_a_row_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad.zip").write_bytes(b"PK no zip")
    (row,) = contour_scan(Scan("bad", tmp_path / "bad.zip"), options_for(tmp_path))
    assert row["status"] == "failed"
    assert "cannot be read as a .zip" in row["message"]
    monkeypatch.setattr("focusnet.io.dicom_zip.MAXIMUM_UNPACKED_BYTES", 10)
    (tmp_path / "x").mkdir()
    write_image(head(), tmp_path / "x" / "ct.nrrd")
    (row,) = contour_scan(Scan("x", zipped(tmp_path / "x", tmp_path / "x.zip")), options_for(tmp_path))
    assert "at most" in row["message"]


def test_of_a_folder_with_several_series_all_the_longest_or_one_is_taken(tmp_path: Path) -> None:
    folder, short, long = two_series(tmp_path / "ct")
    assert choose_series(folder, "longest") == [long]
    assert sorted(map(str, choose_series(folder, "all"))) == sorted([short, long])
    assert choose_series(folder, short) == [short]
    assert choose_series(folder, "1.2.3") == []
    scan = Scan("ct", folder)
    (refused,) = contour_scan(scan, options_for(tmp_path))
    assert refused["status"] == "failed"
    assert "choose one with --series UID" in refused["message"]
    (skipped,) = contour_scan(scan, options_for(tmp_path, series="1.2.3"))
    assert (skipped["status"], skipped["message"]) == ("skipped", "has no series 1.2.3")
    rows = contour_scan(scan, options_for(tmp_path, series="all"))
    assert {row["scan"] for row in rows} == {f"ct__{short}", f"ct__{long}"}
    assert {row["status"] for row in contour_scan(scan, options_for(tmp_path, series="all"))} == {"kept"}


def test_a_series_that_is_no_ct_is_passed_over_by_all(tmp_path: Path) -> None:
    write_dicom(tmp_path / "ct")
    add_series(tmp_path / "ct", "an MR", "MR")
    assert len(choose_series(tmp_path / "ct", "all")) == 1


def test_a_kept_scan_has_its_full_row_and_says_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    scan = Scan("ct", write_image(head(), tmp_path / "in" / "ct.nrrd"))
    (done,) = contour_scan(scan, options_for(tmp_path))
    (kept,) = contour_scan(scan, options_for(tmp_path))
    assert kept == {**done, "status": "kept", "message": "was there already"}
    assert done["organs_found"] == 3
    assert (done["uncertain"], done["not_found"]) == ("Larynx", ""), "it is drawn"
    assert done["warnings"] == "Larynx: Not localized with confidence."
    assert done["Brainstem_ml"] > 1
    (again,) = contour_scan(scan, options_for(tmp_path, picture=True))
    assert again["message"] == "was there already, without ct.png (--overwrite contours it again)"
    (tmp_path / "out" / "ct.json").unlink()
    (without,) = contour_scan(scan, options_for(tmp_path))
    assert "cannot be read" in without["message"]


def test_dicom_of_a_scan_that_is_no_dicom_is_refused_before_the_networks_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contour, "run_model", None)
    (tmp_path / "in").mkdir()
    scan = Scan("ct", write_image(head(), tmp_path / "in" / "ct.nrrd"))
    (row,) = contour_scan(scan, options_for(tmp_path, dicom="rtstruct"))
    assert "did not come from DICOM" in row["message"]


def test_the_summary_is_on_disk_after_every_scan_and_in_order_at_the_end(tmp_path: Path) -> None:
    summary = Summary(tmp_path / "summary.csv", ORGANS)
    summary.add([{"scan": "b", "status": "done", "Brainstem_ml": 2.5}])
    summary.add([{"scan": "a", "status": "failed", "message": 'a "reason", with commas\nand lines'}])

    def scans() -> list[str]:
        with (tmp_path / "summary.csv").open(newline="") as handle:
            return [row["scan"] for row in csv.DictReader(handle)]

    assert scans() == ["b", "a"]
    summary.finish()
    assert scans() == ["a", "b"]
    assert summary.counts == {"done": 1, "failed": 1}
