"""Slicer's own function that installs, in the process of its own in which it is called: a test double with the signature of 5.12."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from FocusNetSegmentationLib.install import pip_child
from FocusNetSegmentationLib.process.process_tree import is_alive
from FocusNetSegmentationLib.process.worker_protocol import HANDSHAKE, worker_environment

SLICER_5_12 = """
import subprocess
def pip_ensure(requirements, constraints=None, skip_packages=None, prompt_install=True, prompt_restart=True, requester=None,
               skip_in_testing=True, show_progress=True):
    print("ensure", requirements, prompt_install, prompt_restart, requester, show_progress)
    if requirements == ["full>=1"]:
        print("ERROR: [Errno 28] No space left on device")
        raise subprocess.CalledProcessError(3, ["pip"])
    if requirements == ["odd>=1"]:
        raise AttributeError("no window")
"""
PIP = "import sys; print('pip', sys.argv[1:])\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for the child's PYTHONPATH with a stand-in for pip."""
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__init__.py").touch()
    (tmp_path / "pip" / "__main__.py").write_text(PIP, encoding="utf-8")
    return tmp_path


def child(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **worker_environment("")}
    environment["PYTHONPATH"] = os.pathsep.join([str(folder), environment["PYTHONPATH"]])
    command = [sys.executable, "-m", pip_child.__name__, *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=60
    )


def with_slicer(folder: Path) -> Path:
    (folder / "slicer").mkdir()
    (folder / "slicer" / "__init__.py").touch()
    (folder / "slicer" / "packaging.py").write_text(SLICER_5_12, encoding="utf-8")
    return folder


def test_slicer_5_12_is_asked_through_pip_ensure_without_a_question_or_a_window(folder: Path) -> None:
    done = child(with_slicer(folder), "psutil>=5.9", "pynrrd>=1.0")
    assert done.returncode == 0, done
    assert done.stdout == "ensure ['psutil>=5.9', 'pynrrd>=1.0'] False False FocusNet Segmentation False\n"


def test_older_slicers_and_everything_with_options_get_pip_itself(folder: Path) -> None:
    (folder / "slicer").mkdir()
    (folder / "slicer" / "__init__.py").touch()  # 5.8 and 5.10: no slicer.packaging
    plain = child(folder, "psutil>=5.9")
    assert plain.stdout.startswith("pip ['install', '--no-input'"), plain
    assert "psutil>=5.9" in plain.stdout
    with_options = child(folder, "--no-index", "--find-links", "a b", "psutil>=5.9")
    assert "'--no-index', '--find-links', 'a b', 'psutil>=5.9'" in with_options.stdout


def test_a_pip_ensure_that_fails_is_a_failure_with_pips_lines(folder: Path) -> None:
    done = child(with_slicer(folder), "full>=1")
    assert done.returncode == 3
    assert "No space left" in done.stdout


def test_a_pip_ensure_that_does_not_work_outside_the_window_is_replaced_by_pip(folder: Path) -> None:
    done = child(with_slicer(folder), "odd>=1")
    assert done.returncode == 0
    assert "pip ['install'" in done.stdout


def test_pytorch_goes_through_light_the_torch(folder: Path) -> None:
    (folder / "light_the_torch").mkdir()
    (folder / "light_the_torch" / "__init__.py").touch()
    (folder / "light_the_torch" / "__main__.py").write_text(PIP.replace("'pip'", "'ltt'"), encoding="utf-8")
    done = child(folder, "--light-the-torch", "torch>=2.2", "torchvision")
    assert done.stdout.startswith("ltt ['install'"), done
    assert done.stdout.rstrip().endswith("'torch>=2.2', 'torchvision']")


@pytest.mark.skipif(os.name != "posix", reason="process groups are a matter of Linux and macOS")
def test_it_ends_with_its_children_when_its_parents_pipe_closes_without_any_help_of_psutil(folder: Path) -> None:
    (folder / "pip" / "__main__.py").write_text(
        "import os, subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(os.getpid(), p.pid, flush=True)\ntime.sleep(600)\n",
        encoding="utf-8",
    )
    environment = {**os.environ, **worker_environment("")}
    environment["PYTHONPATH"] = os.pathsep.join([str(folder), environment["PYTHONPATH"]])
    command = [sys.executable, "-m", pip_child.__name__, "--no-index", "x"]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(HANDSHAKE)
        process.stdin.flush()
        pids = [int(word) for word in process.stdout.readline().split()]
        process.stdin.close()
        deadline = time.monotonic() + 20
        while any(map(is_alive, pids)) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.wait(20)
        assert not any(map(is_alive, pids))
