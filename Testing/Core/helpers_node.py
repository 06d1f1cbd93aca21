"""A DICOM node in a process of its own, tiny CT series, and real peers: dcmtk's programs and Orthanc."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import generate_uid

from focusnet.phantom.dicom import write_dicom_series

from ..paths import ROOT
from .helpers_engine import head, random_bundle, small_config

PATIENT = "Secretova^Jana"  # must never stand in a log
PATIENT_ID = "ZZ-4711-99"
DICOMWEB_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


def real_program(name: str) -> str | None:
    """A program of the system's: pynetdicom puts its own ``storescu`` and ``storescp`` beside Python."""
    ours = Path(sys.executable).parent
    places = [p for p in os.environ.get("PATH", "").split(os.pathsep) if Path(p) != ours]
    found = (shutil.which(name, path=place) for place in [*places, "/usr/sbin"])
    # pynetdicom installs scripts of the same names, in other environments on the path too
    return next((program for program in found if program and Path(program).read_bytes()[:2] != b"#!"), None)


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip where one of the programs, or pynetdicom, is missing."""
    missing = [name for name in programs if real_program(name) is None]
    if importlib.util.find_spec("pynetdicom") is None:
        missing.append("pynetdicom")
    return pytest.mark.skipif(
        bool(missing),
        reason=f"needs {', '.join(missing)} (apt-get install orthanc dcmtk; pip install 'focusnet[node]')",
    )


def peer_program(name: str) -> str:
    found = real_program(name)
    assert found is not None, name
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(true: Callable[[], Any], what: str, timeout_s: float = 60.0) -> Any:
    """Wait for something; the test fails with ``what`` if it does not come."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        found = true()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {timeout_s:g} s: {what}")


def stand_in_model(folder: Path) -> Path:
    """A tiny bundle of random weights: its contours mean nothing."""
    if not (folder / "random").exists():
        random_bundle(folder, small_config())
    return folder / "random"


def write_series(folder: Path, number: int = 0, slices: int = 20, **tags: Any) -> tuple[str, Path]:
    """Write a tiny CT series of a patient of its own; return its UID and its folder."""
    write_dicom_series(head((slices, 48, 44), seed=number), folder, number)
    series = generate_uid(entropy_srcs=["node test", str(number)])
    for file in folder.iterdir():
        data = pydicom.dcmread(file)
        data.SeriesInstanceUID = series
        data.PatientName, data.PatientID = PATIENT, PATIENT_ID
        data.SeriesDescription = "Head of Secretova"  # names stand where they should not
        for tag, value in tags.items():
            setattr(data, tag, value)
        data.save_as(file)
    return str(series), folder


def settings_text(spool: Path, port: int, model: Path | str, destinations: str, **node: Any) -> str:
    values = {"spool": str(spool), "port": port, "status_port": free_port(), "quiet_seconds": 1.0, "interrupted_seconds": 3.0,
              "device": "cpu", "retry_first_seconds": 0.5, "retry_longest_seconds": 2.0, **node}  # fmt: skip
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
    return f"""[node]
{lines}

[[peer]]
ae_title = "SCANNER"

{destinations}
[[rule]]
model = "{model}"
to = ["archive"]
"""


def dicom_destination(port: int, title: str = "ARCHIVE") -> str:
    return f'[[destination]]\nname = "archive"\nae_title = "{title}"\nport = {port}\n'


class NodeProcess:
    """``focusnet node`` as a user starts it. ``log`` is what it wrote to stderr in all its lives."""

    def __init__(self, folder: Path, text: str, stand_in: bool = True) -> None:
        folder.mkdir(exist_ok=True)
        self.command = ["-m", "Testing.Core.stand_in_node"] if stand_in else ["-m", "focusnet", "node"]
        self.settings, self.log_file = folder / "node.toml", folder / "node.log"
        self.settings.write_text(text)
        values = dict(line.split(" = ", 1) for line in text.split("\n\n")[0].splitlines()[1:])
        self.port, self.status_port = int(values["port"]), int(values["status_port"])
        self.spool = Path(json.loads(values["spool"]))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> NodeProcess:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *(p for p in sys.path if p)])}
        with self.log_file.open("ab") as log:
            command = [sys.executable, *self.command, str(self.settings)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        until(self._answers, f"the node's status page; its log: {self.log}")
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        try:
            return bool(self.status())
        except OSError:
            return False

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def kill(self) -> None:
        """As a power cut would."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=30)

    def status(self, path: str = "status.json") -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.status_port}/{path}", timeout=10) as answer:
            return json.loads(answer.read())  # type: ignore[no-any-return]

    def rows(self) -> dict[str, dict[str, Any]]:
        values = self.status()
        return {row["series"]: row for name in ("attention", "at_work", "finished") for row in values[name]}

    def wait_for(self, series: str, state: str, timeout_s: float = 90.0) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            row = self.rows().get(series)
            return row if row and row["state"] == state else None

        try:
            return until(reached, f"{series} {state}", timeout_s)  # type: ignore[no-any-return]
        except AssertionError as problem:
            raise AssertionError(f"{problem}; {self.rows().get(series)}\n{self.log}") from problem


@contextmanager
def running(folder: Path, text: str, stand_in: bool = True) -> Iterator[NodeProcess]:
    """A node that is killed at the end; ``stand_in``: with a worker that needs no network and no torch."""
    node = NodeProcess(folder, text, stand_in).start()
    try:
        yield node
    finally:
        if node.process is not None and node.process.poll() is None:
            node.process.kill()
            node.process.wait()


def storescu(
    port: int, folder: Path, *options: str, title: str = "SCANNER", called: str = "FOCUSNET"
) -> subprocess.CompletedProcess[str]:
    command = [
        peer_program("storescu"),
        "-aet",
        title,
        "-aec",
        called,
        *options,
        "+sd",
        "127.0.0.1",
        str(port),
        str(folder),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@contextmanager
def storescp(folder: Path, port: int, *options: str, title: str = "ARCHIVE") -> Iterator[Path]:
    """dcmtk's receiver; what it takes lies in ``folder``."""
    folder.mkdir(exist_ok=True)
    command = [peer_program("storescp"), "-aet", title, "-od", str(folder), *options, str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: listens(port), "storescp")
        yield folder
    finally:
        process.kill()
        process.wait()


class CutCable:
    """A way to ``port`` that breaks: the first ``cuts`` connections end without a word after ``after_bytes``."""

    def __init__(self, port: int, after_bytes: int, cuts: int = 1) -> None:
        self.target, self.after_bytes, self.cuts = port, after_bytes, cuts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            left = self.after_bytes if self.cuts > 0 else None
            self.cuts -= 1
            threading.Thread(target=self._carry, args=(near, far, left), daemon=True).start()
            threading.Thread(target=self._carry, args=(far, near, None), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, left: int | None) -> None:
        try:
            while data := source.recv(4096):
                if left is not None:
                    left -= len(data)
                    if left <= 0:
                        break
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
                end.close()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Orthanc:
    """A real Orthanc on ports of its own, reachable from this computer only."""

    def __init__(self, folder: Path, node_port: int, dicomweb: bool = False) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.http, self.dicom = folder, free_port(), free_port()
        configuration = {
            "Name": "test", "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"),
            "HttpPort": self.http, "DicomPort": self.dicom, "DicomAet": "ORTHANC", "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False, "DicomAlwaysAllowEcho": True, "DicomAlwaysAllowStore": True,
            "DicomAlwaysAllowFind": True, "DicomCheckCalledAet": False, "HttpDescribeErrors": True,
            "DicomModalities": {"focusnet": ["FOCUSNET", "127.0.0.1", node_port]},
            "Plugins": [str(DICOMWEB_PLUGIN)] if dicomweb else [],
            "DicomWeb": {"Enable": dicomweb, "Root": "/dicom-web/"},
        }  # fmt: skip
        (folder / "orthanc.json").write_text(json.dumps(configuration))

    def __enter__(self) -> Orthanc:
        with (self.folder / "orthanc.log").open("ab") as log:
            self.process = subprocess.Popen(
                [peer_program("Orthanc"), str(self.folder / "orthanc.json")], stdout=log, stderr=log
            )
        until(lambda: listens(self.http) and self.get("system"), "Orthanc")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/{path}", timeout=30) as answer:
            return json.loads(answer.read())

    def file(self, instance: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/instances/{instance}/file", timeout=30) as answer:
            return bytes(answer.read())

    def post(self, path: str, body: bytes) -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}/{path}", body, method="POST")
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.loads(answer.read())

    def instances(self, modality: str) -> list[str]:
        series = [one for one in self.get("series?expand") if one["MainDicomTags"].get("Modality") == modality]
        return [instance for one in series for instance in one["Instances"]]
