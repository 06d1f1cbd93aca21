"""``focusnet node`` beside a real Orthanc: docs/node.md's five commands as they stand there, C-FIND counts, C-STORE and DICOMweb."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pydicom
import pytest

from ...paths import ROOT
from ..helpers_dicom import dicom_errors, program
from ..helpers_node import (
    DICOMWEB_PLUGIN,
    Orthanc,
    dicom_destination,
    free_port,
    needs,
    peer_program,
    running,
    settings_text,
    storescu,
    until,
    write_series,
)

pytestmark = needs("Orthanc", "storescu")
GUIDE = ROOT / "docs" / "node.md"
QUIET_S = 60.0  # longer than any wait of these tests: only Orthanc's count can complete a series


def settings_with_find(folder: Path, port: int, orthanc: Orthanc, destination: str, **node: float) -> str:
    text = settings_text(folder / "spool", port, "stand-in", destination, quiet_seconds=QUIET_S, **node)
    asked = f'ae_title = "ORTHANC"\nhost = "127.0.0.1"\nport = {orthanc.dicom}\nfind = true\n\n[[peer]]\nae_title = "SCANNER"'
    return text.replace('ae_title = "SCANNER"', asked) + 'outputs = ["rtstruct", "seg"]\n'


@pytest.mark.parametrize("way", ["C-STORE", "DICOMweb"])
def test_a_ct_that_orthanc_sends_comes_back_to_its_study_as_soon_as_orthancs_count_is_reached(
    tmp_path: Path, way: str
) -> None:
    if way == "DICOMweb" and not DICOMWEB_PLUGIN.exists():
        pytest.skip("needs Orthanc's DICOMweb plugin (Debian: apt-get install orthanc-dicomweb)")
    uid, folder = write_series(tmp_path / "ct", 0)
    port = free_port()
    with Orthanc(tmp_path / "orthanc", port, dicomweb=way == "DICOMweb") as orthanc:
        stow = f'[[destination]]\nname = "archive"\nurl = "http://127.0.0.1:{orthanc.http}/dicom-web"\n'
        to = stow if way == "DICOMweb" else dicom_destination(orthanc.dicom, "ORTHANC")
        for file in folder.iterdir():
            orthanc.post("instances", file.read_bytes())
        with running(tmp_path / "node", settings_with_find(tmp_path, port, orthanc, to)) as node:
            (series,) = orthanc.get("series")
            orthanc.post("modalities/focusnet/store", series.encode())
            node.wait_for(uid, "done", QUIET_S - 10)
            (study,) = orthanc.get("studies?expand")
            assert len(study["Series"]) == 3
            for modality in ("RTSTRUCT", "SEG"):
                (instance,) = orthanc.instances(modality)
                path = tmp_path / f"{modality}.dcm"
                path.write_bytes(orthanc.file(instance))
                if program("dciodvfy"):
                    assert dicom_errors(path) == []
                assert str(pydicom.dcmread(path).StudyInstanceUID) == study["MainDicomTags"]["StudyInstanceUID"]


def test_a_part_of_a_series_is_not_contoured_when_orthanc_has_more_of_it(tmp_path: Path) -> None:
    uid, folder = write_series(tmp_path / "ct", 0)
    port = free_port()
    with Orthanc(tmp_path / "orthanc", port) as orthanc:
        files = sorted(folder.iterdir())
        for file in files:
            orthanc.post("instances", file.read_bytes())
        text = settings_with_find(tmp_path, port, orthanc, dicom_destination(orthanc.dicom, "ORTHANC"))
        text = text.replace(f"quiet_seconds = {QUIET_S}", "quiet_seconds = 2.0")
        with running(tmp_path / "node", text) as node:
            part = tmp_path / "part"
            part.mkdir()
            for file in files[:15]:
                shutil.copy(file, part)
            storescu(node.port, part, title="ORTHANC")
            assert node.wait_for(uid, "incomplete")["reason"] == "15 of 20 instances came; have it sent again"
            storescu(node.port, folder, title="ORTHANC")
            node.wait_for(uid, "done")


@pytest.mark.slow  # the shipped model on a whole phantom
def test_the_five_commands_of_the_guide_bring_an_rtstruct_into_orthanc(tmp_path: Path) -> None:
    commands = re.search(r"## Five commands.*?```\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert commands is not None
    install, *rest = commands[1].strip().splitlines()
    assert len(rest) == 4
    assert install.startswith("sudo apt-get install")
    shutil.copytree(ROOT / "docs" / "node", tmp_path / "docs" / "node")
    http = free_port()
    ports = {"8042": http, "4242": free_port(), "11112": free_port()}
    for file in ("orthanc.json", "node.toml"):
        path = tmp_path / "docs" / "node" / file
        path.write_text(
            with_ports(path.read_text().replace("port = 11112", f"port = 11112\nstatus_port = {free_port()}"), ports)
        )
    script = (
        with_ports("\n".join(rest), ports)
        .replace("/usr/bin/storescu", peer_program("storescu"))
        .replace("Orthanc ", f"{peer_program('Orthanc')} ")
    )
    script = script.replace("focusnet ", f"{sys.executable} -m focusnet ")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    # a reader waits for both to be up before the last line
    script = script.replace("\n", "\nsleep 5\n").replace("&\nsleep 5", "& echo $! >> pids\nsleep 5")
    with (tmp_path / "log").open("w") as log:
        shell = subprocess.Popen(["bash", "-e", "-c", script], cwd=tmp_path, env=environment, stdout=log, stderr=log)
        try:
            assert shell.wait(timeout=120) == 0, (tmp_path / "log").read_text()
            orthanc = object.__new__(Orthanc)
            orthanc.http = http
            until(
                lambda: orthanc.instances("RTSTRUCT"), f"an RTSTRUCT in Orthanc; {(tmp_path / 'log').read_text()}", 250
            )
            (instance,) = orthanc.instances("RTSTRUCT")
            data = pydicom.dcmread(io.BytesIO(orthanc.file(instance)))
            assert data.ApprovalStatus == "UNAPPROVED"
            assert len(data.StructureSetROISequence) >= 3
        finally:
            for pid in (tmp_path / "pids").read_text().split():
                os.kill(int(pid), 15)
            time.sleep(1)


def with_ports(text: str, ports: dict[str, int]) -> str:
    """The guide's ports replaced by free ones, so that a machine's own Orthanc is left alone."""
    return re.sub("|".join(ports), lambda found: str(ports[found[0]]), text)
