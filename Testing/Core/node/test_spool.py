"""Received series on disk: what is acknowledged survives any stop, a full disk is told to the sender, nothing is kept for ever."""

from __future__ import annotations

import json
from pathlib import Path

import pydicom
import pytest

from focusnet.errors import InputError, OutputError
from focusnet.node import spool as spool_module
from focusnet.node.instance import Instance, read_instance, series_content, without_patient
from focusnet.node.spool import CONTOURING, DONE, FAILED, QUEUED, RECEIVING, SENDING, Spool, SpoolFull

from ..helpers_disk import small_disk

UID, STUDY = "1.2.3", "1.2"
LIMIT = 10_000_000


def instance(number: int, digest: str = "a") -> Instance:
    return Instance(UID, STUDY, f"1.2.3.{number}", digest * 32)


def filled(folder: Path, count: int = 3) -> Spool:
    spool = Spool(folder, LIMIT)
    for number in range(count):
        assert spool.store(instance(number), b"x" * 1000, "CT1", 1) == "new"
    spool.association_ended(1, released=True)
    return spool


def again(spool: Spool) -> Spool:
    """The spool as the next start finds it."""
    spool.close()
    return Spool(spool.folder, LIMIT)


def test_what_was_acknowledged_is_there_after_a_stop_at_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path, LIMIT)
    spool.store(instance(1), b"x", "CT1", 1)
    found = again(spool).series[UID]
    assert found.instances == {"1.2.3.1": "a" * 32}
    assert (found.state, found.sender, found.ended) == (RECEIVING, "CT1", False)


def test_that_an_association_was_released_is_remembered(tmp_path: Path) -> None:
    assert again(filled(tmp_path)).series[UID].ended


def test_half_written_files_and_work_of_a_killed_node_are_removed(tmp_path: Path) -> None:
    spool = filled(tmp_path)
    (tmp_path / "incoming" / "half.part").write_bytes(b"x")
    (tmp_path / "work" / "job").mkdir()
    (tmp_path / "work" / "job" / "rtstruct.dcm").write_bytes(b"half")
    spool = again(spool)
    assert not list((tmp_path / "incoming").iterdir())
    assert not list((tmp_path / "work").iterdir())
    assert len(spool.series[UID].instances) == 3


def test_the_same_instance_again_changes_nothing(tmp_path: Path) -> None:
    spool = filled(tmp_path)
    series = spool.series[UID]
    spool.change(series, state=DONE, content=series_content(series.instances))
    assert spool.store(instance(0), b"x" * 1000, "CT1", 2) == "known"
    assert series.state == DONE
    assert len(spool.files(series)) == 3


@pytest.mark.parametrize("new", [instance(9), instance(0, "b")], ids=["one more slice", "a slice with other content"])
def test_a_series_that_is_another_one_now_is_received_anew(tmp_path: Path, new: Instance) -> None:
    spool = filled(tmp_path)
    series = spool.series[UID]
    spool.change(series, state=DONE, content=series_content(series.instances), sent={"archive": 1.0})
    spool.store(new, b"y" * 1000, "CT1", 2)
    assert (series.state, series.sent) == (RECEIVING, {})
    assert len(spool.files(series)) == len(series.instances)
    assert (
        series.bytes
        == spool_module.folder_bytes(spool.place(series)) - (spool.place(series) / "state.json").stat().st_size
    )
    assert again(spool).series[UID].instances == series.instances


def test_a_stop_between_the_new_slice_and_the_new_state_is_seen_at_the_next_start(tmp_path: Path) -> None:
    spool = filled(tmp_path)
    series = spool.series[UID]
    spool.change(series, state=DONE, content=series_content(series.instances))
    (spool.place(series) / "instances" / f"1.2.3.9_{'c' * 32}.dcm").write_bytes(
        b"x"
    )  # renamed into place, then the power went
    assert again(spool).series[UID].state == RECEIVING


def test_a_resend_of_a_failed_series_is_another_try(tmp_path: Path) -> None:
    spool = filled(tmp_path)
    series = spool.series[UID]
    spool.change(series, state=FAILED, content=series_content(series.instances), tries=3)
    spool.store(instance(0), b"x" * 1000, "CT1", 2)
    assert (series.state, series.tries) == (RECEIVING, 0)


@pytest.mark.parametrize(("state", "after"), [(QUEUED, QUEUED), (CONTOURING, QUEUED), (SENDING, SENDING), (DONE, DONE)])
def test_each_state_goes_on_where_it_was(tmp_path: Path, state: str, after: str) -> None:
    spool = filled(tmp_path)
    series = spool.series[UID]
    spool.change(series, state=state, content=series_content(series.instances))
    assert again(spool).series[UID].state == after


def test_a_damaged_state_file_loses_no_series(tmp_path: Path) -> None:
    spool = filled(tmp_path)
    (tmp_path / "series" / UID / "state.json").write_text('{"state": "do')
    found = again(spool).series[UID]
    assert (found.state, len(found.instances)) == (RECEIVING, 3)


def test_outputs_appear_whole(tmp_path: Path) -> None:
    spool = filled(tmp_path)
    series = spool.series[UID]
    content = series_content(series.instances)
    spool.change(series, state=CONTOURING, content=content)
    work = spool.new_work()
    (work / "rtstruct.dcm").write_bytes(b"contours")
    (work / "result.json").write_text(json.dumps({"content": content, "instances": series.instances}))
    spool.commit_outputs(series, content, work)
    assert (spool.out(series) / "rtstruct.dcm").read_bytes() == b"contours"
    assert not work.exists()
    assert [r["content"] for r in spool.results(series)] == [content]
    spool.remove_scans(series)
    assert spool.files(series) == []
    assert [r["content"] for r in spool.results(series)] == [content]  # what was contoured stays known


def test_the_limit_removes_what_is_done_and_then_refuses(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 10_000)
    for number in range(4):
        spool.store(Instance("1.1", STUDY, f"1.1.{number}", "a" * 32), b"x" * 2000, "CT1", 1)
    done = spool.series["1.1"]
    spool.association_ended(1, released=True)
    spool.change(done, state=DONE, content=series_content(done.instances))
    for number in range(4):
        spool.store(instance(number), b"x" * 2000, "CT1", 2)
    assert not done.instances
    with pytest.raises(SpoolFull):
        spool.store(instance(9), b"x" * 9000, "CT1", 2)
    assert len(spool.series[UID].instances) == 4
    assert not list((tmp_path / "incoming").iterdir())


def store_until_full(spool: Spool) -> int:
    for number in range(100):
        try:
            spool.store(instance(number), b"x" * 20_000, "CT1", 1)
        except (SpoolFull, OSError):
            return number
    raise AssertionError("the disk was never full")


def test_a_full_disk_is_told_and_leaves_no_half_file(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=256k") as disk:
        spool = Spool(disk, LIMIT)
        stored = store_until_full(spool)
        assert stored > 3
        spool = again(spool)
        assert {f.stat().st_size for f in spool.files(spool.series[UID])} == {20_000}
        assert len(spool.series[UID].instances) >= stored
        spool.close()


def test_an_instance_that_came_in_while_its_state_could_not_be_written_is_put_right_by_the_resend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = filled(tmp_path)
    series = spool.series[UID]
    spool.change(series, state=DONE, content=series_content(series.instances))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(spool_module, "write_json", full)
        with pytest.raises(OSError, match="No space"):
            spool.store(instance(9), b"x", "CT1", 2)
    assert series.state == DONE
    assert spool.store(instance(9), b"x", "CT1", 2) == "known"
    assert series.state == RECEIVING


def test_two_nodes_cannot_share_a_spool(tmp_path: Path) -> None:
    first = Spool(tmp_path, LIMIT)
    with pytest.raises(OutputError, match="in use by another focusnet node"):
        Spool(tmp_path, LIMIT)
    first.close()
    Spool(tmp_path, LIMIT).close()


def encoded(tmp_path: Path, syntax: str = pydicom.uid.ExplicitVRLittleEndian, **tags: object) -> bytes:
    data = pydicom.Dataset()
    data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4"
    data.StudyInstanceUID, data.SeriesInstanceUID = "1.2", "1.2.3"
    data.PatientName, data.PatientID, data.SeriesDescription = "Secretova^Jana", "ZZ-4711", "Head of Secretova"
    data.Rows = data.Columns = 2
    data.BitsAllocated, data.SamplesPerPixel, data.PixelRepresentation = 16, 1, 0
    data.PixelData = b"12345678"
    for tag, value in tags.items():
        setattr(data, tag, value)
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    path = tmp_path / "one.dcm"
    pydicom.dcmwrite(path, data, enforce_file_format=True)
    return path.read_bytes()


def test_the_digest_follows_the_image_and_not_its_encoding(tmp_path: Path) -> None:
    one = read_instance(encoded(tmp_path))
    assert one == read_instance(encoded(tmp_path, pydicom.uid.ImplicitVRLittleEndian))
    assert one == read_instance(encoded(tmp_path, InstitutionName="another door"))
    for change in ({"PixelData": b"12345679"}, {"RescaleIntercept": -1024}, {"PatientID": "corrected"}):
        assert read_instance(encoded(tmp_path, **change)).digest != one.digest


@pytest.mark.parametrize("uid", ["", "..", "../../etc", "1.2/3", "a"])
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_an_instance_whose_uid_cannot_name_a_folder_is_refused(tmp_path: Path, uid: str) -> None:
    with pytest.raises(InputError):
        read_instance(encoded(tmp_path, SeriesInstanceUID=uid))


def test_a_message_loses_every_word_that_names_the_patient(tmp_path: Path) -> None:
    encoded(tmp_path)
    message = "DICOM series Head of Secretova: ZZ-4711, JANA secretova cannot be read"
    assert without_patient(message, tmp_path / "one.dcm") == "DICOM series [...]: [...], [...] [...] cannot be read"
