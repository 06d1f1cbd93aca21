"""The installer with the real pip, in a throw-away environment."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import venv
import zipfile
from pathlib import Path

import pytest

from FocusNetSegmentationLib.install.plan import PIP_MODULE, Step, plan

from ..helpers_installer import found, install


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip as a user's Slicer has it, whatever is configured here."""
    for name in [n for n in os.environ if n.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A throw-away environment with pip and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    return str(folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def wheel(folder: Path, name: str, version: str = "1.0", requires: str = "", code: str = "") -> Path:
    """A real wheel with one module."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + (
        f"Requires-Dist: {requires}\n" if requires else ""
    )
    files = {
        f"{name}/__init__.py": code or f"__version__ = {version!r}\n",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {
        n: base64.urlsafe_b64encode(hashlib.sha256(t.encode()).digest()).rstrip(b"=").decode() for n, t in files.items()
    }
    files[f"{info}/RECORD"] = (
        "".join(f"{n},sha256={digests[n]},{len(t)}\n" for n, t in files.items() if n in digests) + f"{info}/RECORD,,\n"
    )
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return path


def run_in(python: str, code: str) -> str:
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def pip(*arguments: str) -> Step:
    return Step("packages", "Install", (("-m", PIP_MODULE, *arguments),))


@pytest.mark.slow
def test_offline_everything_comes_from_a_folder_of_wheels(python: str, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels with a space"
    wheel(wheels, "focusnet_test_a", requires="focusnet_test_b>=2", code="import focusnet_test_b\n")
    wheel(wheels, "focusnet_test_b", "2.5")
    (planned,) = plan(found(packages=["focusnet_test_a>=1.0"]), wheels=wheels)[:1]
    report, told = install([planned], python=python)
    assert report.ok, report
    assert run_in(python, "import focusnet_test_a, focusnet_test_b as b; print(b.__version__)") == "2.5"
    assert "Successfully installed" in report.details
    assert any("Processing" in line for _, _, line in told.progress), "pip's lines arrive while it works"


@pytest.mark.slow
def test_a_folder_that_lacks_a_wheel_is_said_to(python: str, tmp_path: Path) -> None:
    wheel(tmp_path, "focusnet_test_c", requires="focusnet_test_missing")
    report, _ = install([pip("--no-index", "--find-links", str(tmp_path), "focusnet_test_c")], python=python)
    assert report.message.startswith("The folder lacks a wheel for this Python"), report


@pytest.mark.slow
def test_a_damaged_wheel_is_said_to_be(python: str, tmp_path: Path) -> None:
    path = wheel(tmp_path, "focusnet_test_d")
    path.write_bytes(path.read_bytes()[:200])
    report, _ = install([pip("--no-index", "--find-links", str(tmp_path), "focusnet_test_d")], python=python)
    assert "damaged" in report.message, report


@pytest.mark.slow
def test_no_network_is_said_to_be(python: str) -> None:
    nowhere = ["--index-url", "http://127.0.0.1:9/simple", "--retries", "1", "--timeout", "2"]
    report, _ = install([pip(*nowhere, "focusnet-test-nowhere")], python=python)
    assert report.message.startswith("There is no connection to the package server"), report
    assert "focusnet-test-nowhere" in report.details


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_said_to_be(python: str, tmp_path: Path) -> None:
    wheel(tmp_path / "w", "focusnet_test_e")
    target = tmp_path / "locked"
    target.mkdir(mode=0o500)
    offline = ["--no-index", "--find-links", str(tmp_path / "w"), "--target", str(target)]
    report, _ = install([pip(*offline, "focusnet_test_e")], python=python)
    assert "cannot be written" in report.message, report
