"""``focusnet node`` as a process of its own between dcmtk's storescu and storescp. Its worker is a stand-in, all else is real."""

from __future__ import annotations

import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pydicom
import pytest

from ..helpers_dicom import dicom_errors, program
from ..helpers_disk import small_disk
from ..helpers_node import (
    PATIENT,
    PATIENT_ID,
    CutCable,
    dicom_destination,
    free_port,
    needs,
    peer_program,
    running,
    settings_text,
    storescp,
    storescu,
    until,
    write_series,
)

pytestmark = needs("storescu", "storescp", "echoscu")


def source(structure_set: Path) -> pydicom.Dataset:
    """The series that a structure set was drawn on, and its slices."""
    frame = pydicom.dcmread(structure_set).ReferencedFrameOfReferenceSequence[0]
    return frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]


def texts(folder: Path) -> list[str]:
    return [
        f"{path.name}\n{path.read_text(errors='replace')}"
        for path in folder.rglob("*")
        if path.suffix in (".json", ".log")
    ]


def test_two_series_at_once_come_back_as_structure_sets_and_no_name_is_left_in_any_log(tmp_path: Path) -> None:
    archive = free_port()
    first, one = write_series(tmp_path / "a", 1)
    second, two = write_series(tmp_path / "b", 2)
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for name, folder in (("a", one), ("b", two)):
        for n, file in enumerate(sorted(folder.iterdir(), reverse=True)):  # feet first, the two series in turn
            shutil.copy(file, mixed / f"{n:03d}{name}.dcm")
    text = settings_text(tmp_path / "spool", free_port(), "stand-in", dicom_destination(archive))
    with storescp(tmp_path / "in", archive) as inbox, running(tmp_path / "node", text) as node:
        echo = [peer_program("echoscu"), "-aet", "SCANNER", "-aec", "FOCUSNET", "127.0.0.1", str(node.port)]
        assert subprocess.run(echo, check=False).returncode == 0
        assert storescu(node.port, mixed).returncode == 0
        for uid in (first, second):
            assert node.wait_for(uid, "done")["sent"] == ["archive"]
        sets = {str(source(path).SeriesInstanceUID): path for path in inbox.iterdir()}
        assert set(sets) == {first, second}
        for path in sets.values():
            data = pydicom.dcmread(path)
            if program("dciodvfy"):
                assert dicom_errors(path) == []
            assert data.ApprovalStatus == "UNAPPROVED"
            assert [str(roi.ROIName) for roi in data.StructureSetROISequence] == [
                "Brainstem",
                "Parotid_L",
                "Parotid_R",
            ]  # no larynx
            assert str(data.PatientName) == PATIENT

        # sent again, nothing is contoured again
        assert storescu(node.port, one).returncode == 0
        time.sleep(2)
        assert node.rows()[first]["state"] == "done"
        assert len(list(inbox.iterdir())) == 2
        assert node.log.count("contoured in") == 2

        said = [*texts(tmp_path), str(node.status()), page(node.status_port)]
        assert len(said) > 5
        for words in said:
            for secret in (*PATIENT.split("^"), PATIENT_ID):
                assert secret not in words
        assert node.stop() == 0


def page(port: int, path: str = "", host: str | None = None) -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{path}", headers={} if host is None else {"Host": host})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read().decode())


def test_a_kill_and_a_cut_cable_lose_none_of_twenty_series(tmp_path: Path) -> None:
    archive, count = free_port(), 20
    folders = dict(write_series(tmp_path / str(n), n, slices=13) for n in range(count))
    text = settings_text(tmp_path / "spool", free_port(), "stand-in", dicom_destination(archive))
    with storescp(tmp_path / "in", archive) as inbox, running(tmp_path / "node", text) as node:
        cable = CutCable(node.port, after_bytes=30_000)
        killed = False
        for n, folder in enumerate(folders.values()):
            if n == 7:
                assert storescu(cable.port, folder).returncode != 0  # cut in the middle of a slice
            if n == 12:
                sender = subprocess.Popen(
                    [peer_program("storescu"), "-aet", "SCANNER", "-aec", "FOCUSNET", "+sd", "127.0.0.1", str(node.port), str(folder)],
                    stderr=subprocess.DEVNULL,
                )  # fmt: skip
                until(lambda: node.status()["instances_stored"] > 12 * 13 + 3, "a part of the series")
                node.kill()
                killed = sender.wait(timeout=60) != 0
                node.start()
            assert storescu(node.port, folder).returncode == 0
        for uid in folders:
            node.wait_for(uid, "done", 120)
        cable.close()
        assert killed
        sources = [source(path) for path in inbox.iterdir()]
        assert {str(one.SeriesInstanceUID) for one in sources} == set(folders)
        # whatever was contoured of a part, in the end every series is there with all its slices
        whole = {str(one.SeriesInstanceUID) for one in sources if len(one.ContourImageSequence) == 13}
        assert whole == set(folders)


def test_whoever_is_not_on_the_list_is_refused(tmp_path: Path) -> None:
    _, folder = write_series(tmp_path / "ct", 0, 3)
    text = settings_text(tmp_path / "spool", free_port(), "stand-in", dicom_destination(free_port()))
    elsewhere = '[[peer]]\nae_title = "FAR"\nhost = "192.0.2.1"\n\n[[destination]]'
    with running(tmp_path / "node", text.replace("[[destination]]", elsewhere, 1)) as node:
        assert storescu(node.port, folder, title="STRANGER").returncode != 0
        assert storescu(node.port, folder, title="FAR").returncode != 0  # right title, wrong address
        assert storescu(node.port, folder, called="OTHER").returncode != 0
        assert node.rows() == {}
        assert node.status()["associations_refused"] == 2
        assert "is not on the list of peers" in node.log
        with pytest.raises(urllib.error.HTTPError, match="403"):  # another site's name that points here
            page(node.status_port, host=f"evil.example:{node.status_port}")


def test_a_destination_that_is_down_gets_the_structure_set_when_it_is_up_again(tmp_path: Path) -> None:
    archive = free_port()
    uid, folder = write_series(tmp_path / "ct", 0)
    text = settings_text(tmp_path / "spool", free_port(), "stand-in", dicom_destination(archive))
    with running(tmp_path / "node", text) as node:
        storescu(node.port, folder)
        until(lambda: node.rows().get(uid, {}).get("reason", "").startswith("ARCHIVE"), "a failed try")
        assert "does not answer" in node.rows()[uid]["reason"]
        node.kill()
        node.start()
        with storescp(tmp_path / "in", archive) as inbox:
            node.wait_for(uid, "done")
            assert len(list(inbox.iterdir())) == 1
        assert node.log.count("contoured in") == 1


def test_a_receiver_that_aborts_gets_the_same_object_again(tmp_path: Path) -> None:
    archive = free_port()
    uid, folder = write_series(tmp_path / "ct", 0)
    text = settings_text(tmp_path / "spool", free_port(), "stand-in", dicom_destination(archive))
    with running(tmp_path / "node", text) as node:
        with storescp(tmp_path / "in", archive, "--abort-during"):
            storescu(node.port, folder)
            until(lambda: "ended the association" in node.rows().get(uid, {}).get("reason", ""), "a failed try")
            assert node.rows()[uid]["state"] == "sending"
        with storescp(tmp_path / "in2", archive) as inbox:
            node.wait_for(uid, "done")
            kept = next((tmp_path / "spool" / "series" / uid).glob("out_*/rtstruct.dcm"))
            assert [pydicom.dcmread(f).SOPInstanceUID for f in inbox.iterdir()] == [
                pydicom.dcmread(kept).SOPInstanceUID
            ]


@pytest.mark.parametrize(
    ("behaviour", "state", "reason", "tries"),
    [
        ("crash once", "done", "", 0),
        ("crash", "failed", "it was killed, as the system does when memory runs out (tried 2 times)", 2),
        ("hang", "failed", "no result after 0.05 minutes (tried 2 times)", 2),
        ("refuse", "failed", "the scan of [...] [...] ([...]) cannot be used.", 0),
    ],
)
def test_a_worker_that_dies_takes_nothing_else_with_it(
    tmp_path: Path, behaviour: str, state: str, reason: str, tries: int
) -> None:
    archive = free_port()
    uid, folder = write_series(tmp_path / "ct", 0)
    limits = {"tries": 2, "worker_timeout_minutes": 0.05 if behaviour == "hang" else 1.0}
    text = settings_text(tmp_path / "spool", free_port(), "stand-in", dicom_destination(archive), **limits)
    with storescp(tmp_path / "in", archive), running(tmp_path / "node", text + f'organs = ["{behaviour}"]\n') as node:
        storescu(node.port, folder)
        row = node.wait_for(uid, state)
        assert row["reason"].endswith(reason)
        assert row["tries"] == tries
        assert page(node.status_port, "health") == "ok\n"
        assert "Secretova" not in node.log


def test_a_full_disk_refuses_with_out_of_resources_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    archive = free_port()
    uid, folder = write_series(tmp_path / "ct", 0, 40)
    with small_disk(tmp_path / "disk", "size=1m") as disk, storescp(tmp_path / "in", archive) as inbox:
        (disk / "ballast").write_bytes(b"x" * 950_000)
        text = settings_text(disk / "spool", free_port(), "stand-in", dicom_destination(archive))
        with running(tmp_path / "node", text) as node:
            refused = storescu(node.port, folder, "-v")
            assert "OutOfResources" in refused.stdout + refused.stderr
            stored = node.status()["instances_stored"]
            assert 0 < stored < 40
            (disk / "ballast").unlink()
            assert storescu(node.port, folder).returncode == 0
            node.wait_for(uid, "done")
            assert len(source(next(inbox.iterdir())).ContourImageSequence) == 40
            assert node.stop() == 0


def certificate(folder: Path, name: str, signer: str | None = None) -> list[str]:
    """A key and a certificate for 127.0.0.1, signed by ``signer`` or by itself."""
    key, cert = folder / f"{name}.key", folder / f"{name}.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-keyout", str(key), "-out", str(cert),
               "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]  # fmt: skip
    if signer:
        command += [
            "-CA",
            str(folder / f"{signer}.pem"),
            "-CAkey",
            str(folder / f"{signer}.key"),
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ]
    subprocess.run(command, check=True, capture_output=True)
    return [str(key), str(cert)]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make certificates")
def test_with_tls_only_who_has_a_certificate_gets_in_and_contours_leave_encrypted(tmp_path: Path) -> None:
    archive = free_port()
    certificate(tmp_path, "ca")
    ours, theirs, strange = (
        certificate(tmp_path, "node", "ca"),
        certificate(tmp_path, "peer", "ca"),
        certificate(tmp_path, "stranger"),
    )
    ca = str(tmp_path / "ca.pem")
    tls = f'[tls]\ncertificate = "{ours[1]}"\nkey = "{ours[0]}"\nca = "{ca}"\n\n[[destination]]'
    text = settings_text(tmp_path / "spool", free_port(), "stand-in", dicom_destination(archive) + "tls = true\n")
    uid, folder = write_series(tmp_path / "ct", 0)
    with (
        storescp(tmp_path / "in", archive, "+tls", *theirs, "+cf", ca) as inbox,
        running(tmp_path / "node", text.replace("[[destination]]", tls, 1)) as node,
    ):
        assert storescu(node.port, folder).returncode != 0  # not encrypted
        assert storescu(node.port, folder, "+tls", *strange, "+cf", ca).returncode != 0
        assert node.rows() == {}
        assert storescu(node.port, folder, "+tls", *theirs, "+cf", ca).returncode == 0
        node.wait_for(uid, "done")
        assert len(list(inbox.iterdir())) == 1
