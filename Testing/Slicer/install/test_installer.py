"""What the installer does and says: the plan and its costs, the order, progress, Cancel, one sentence for what pip wrote. In place of pip
run small scripts, in real processes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from FocusNetSegmentationLib.install.failures import explain_failure
from FocusNetSegmentationLib.install.installer import Installer
from FocusNetSegmentationLib.install.plan import CPU_INDEX, TorchSource, find_source, index_build, plan
from FocusNetSegmentationLib.install.preflight import PACKAGES, TORCH, TorchStatus

from ..helpers_installer import GOOD_TORCH, NO_TORCH, SMOKE_OK, Told, found, install, step


def test_the_plan_holds_only_what_is_missing_and_ends_with_a_test() -> None:
    assert plan(found()) == []
    assert [s.kind for s in plan(found(NO_TORCH, ["psutil>=5.9"]))] == ["packages", "torch", "smoke"]
    assert [s.kind for s in plan(found(packages=["psutil>=5.9"]))] == ["packages", "smoke"]
    half = plan(found(TorchStatus(None, "2.13.0", "OSError: broken")))
    assert half[0].title.startswith("Install PyTorch again")
    assert "--force-reinstall" in half[0].commands[-1]


def test_sizes_and_times_are_named_before_anyone_agrees() -> None:
    for one in plan(found(NO_TORCH, PACKAGES)):
        if one.kind != "smoke":
            assert "to download" in str(one)
            assert "on the disk" in str(one)
            assert "minutes" in str(one)


def test_the_small_packages_are_installed_even_if_pytorch_waits_for_its_extension() -> None:
    steps = plan(found(NO_TORCH, ["psutil>=5.9"]), TorchSource.NOWHERE)
    assert [s.kind for s in steps] == ["packages"]
    assert plan(found(NO_TORCH), TorchSource.NOWHERE) == []


def test_with_its_extension_pytorch_comes_as_the_extension_takes_it() -> None:
    (torch, _smoke) = plan(found(NO_TORCH), TorchSource.EXTENSION)
    first, second = torch.commands
    assert first[-1].startswith("light-the-torch")
    assert second[2:] == ("--light-the-torch", TORCH, "torchvision")
    assert find_source() is None, "there is no such extension here"


@pytest.mark.parametrize(
    ("system", "machine", "nvidia", "name", "options"),
    [
        ("Linux", "x86_64", False, "the CPU build", ("--index-url", CPU_INDEX)),
        ("Linux", "x86_64", True, "the CUDA build", ()),
        ("Linux", "aarch64", False, "the CPU build", ()),
        ("Windows", "AMD64", False, "the CPU build", ()),
        ("Windows", "AMD64", True, "the CPU build", ()),
        ("Darwin", "arm64", False, "the build for Macs", ()),
    ],
)
def test_without_a_gpu_the_index_gives_the_cpu_build(
    system: str, machine: str, nvidia: bool, name: str, options: tuple[str, ...]
) -> None:
    """The general index holds CPU builds for Windows, Macs and Linux on ARM; for other Linux it holds CUDA builds."""
    build, found_options, cost = index_build(nvidia, system, machine)
    assert (build, found_options) == (name, options)
    assert (cost.download_mb > 1000) == (name == "the CUDA build")


def test_no_package_is_held_back_from_the_version_that_slicer_brings() -> None:
    assert not any("<" in requirement or "==" in requirement for requirement in (*PACKAGES, TORCH))
    assert {"pydicom", "matplotlib", "jinja2", "pillow"} <= {r.partition(">=")[0] for r in PACKAGES}


def test_steps_run_one_after_the_other_and_their_lines_arrive_meanwhile(process: Any) -> None:
    steps = [step("packages", "print('one')", "print('two')", title="Packages"), step("smoke", SMOKE_OK, title="Test")]
    report, told = install(steps, process)
    assert report.ok, report
    assert report.message == "Everything is installed and works."
    assert [line for _, _, line in told.progress if line in ("one", "two")] == ["one", "two"]
    fractions = [fraction for _, fraction, _ in told.progress]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_pips_own_progress_moves_the_bar_and_is_no_detail() -> None:
    raw = "print('Progress 0 of 200'); print('Progress 100 of 200'); print('Installing collected packages')"
    report, told = install([step("packages", raw)])
    assert 0.5 in [fraction for _, fraction, _ in told.progress]
    assert "Progress" not in report.details
    assert "Installing collected packages" in report.details


def test_what_fails_keeps_nothing_else_from_being_tried_but_the_test() -> None:
    failing = "import sys; print('ERROR: [Errno 28] No space left on device'); sys.exit(1)"
    steps = [step("torch", failing, "print('never')"), step("packages", "print('tried')"), step("smoke", SMOKE_OK)]
    report, _ = install(steps)
    assert not report.ok
    assert report.message.startswith("The disk is full.")
    assert "tried" in report.details
    assert "never" not in report.details
    assert "torch_metadata" not in report.details


def test_a_failed_test_is_a_failed_installation() -> None:
    broken = SMOKE_OK.replace('"cpu": ""', '"cpu": "OSError: libcudnn.so.9: cannot open"')
    report, _ = install([step("smoke", broken)])
    assert not report.ok
    assert "cannot compute" in report.message


def test_cancel_ends_it_at_once_and_leaves_no_process(process: Any) -> None:
    from FocusNetSegmentationLib.process.process_tree import is_alive

    told = Told()
    script = "import os, time; print('pid', os.getpid(), flush=True); time.sleep(600)"
    steps = [step("torch", script), step("packages", "print('never')")]
    import sys

    installer = Installer(steps, told.callbacks(), lambda: process, sys.executable)
    installer.start()
    deadline = time.monotonic() + 20
    while not any(line.startswith("pid") for _, _, line in told.progress) and time.monotonic() < deadline:
        installer.wait(0.1)
    pid = next(int(line.split()[1]) for _, _, line in told.progress if line.startswith("pid"))
    started = time.monotonic()
    installer.cancel()
    assert time.monotonic() - started < 5
    assert not is_alive(pid)
    (report,) = told.reports
    assert report.cancelled
    assert not any(line == "never" for _, _, line in told.progress)
    installer.cancel()
    assert len(told.reports) == 1


def test_a_program_that_cannot_be_started_is_said_to_be(tmp_path: Path) -> None:
    report, _ = install([step("packages", "print(1)")], python=str(tmp_path / "no-python"))
    assert not report.ok
    assert "no-python" in report.details or "no-python" in report.message


def test_a_package_that_is_loaded_already_asks_for_a_restart() -> None:
    assert install([step("packages", "print(1)", requirements=["psutil>=5.9"])])[0].restart
    assert not install([step("packages", "print(1)", requirements=["no-such-package>=1"])])[0].restart


def test_a_pytorch_that_is_there_is_not_planned_again() -> None:
    assert [s.kind for s in plan(found(GOOD_TORCH, ["psutil>=5.9"]))] == ["packages", "smoke"]
    assert plan(found(TorchStatus(None, None, "the look at it failed", looked=False))) == []


# --- what pip wrote


OS_ERROR = "ERROR: Could not install packages due to an OSError: "
RETRYING = "WARNING: Retrying (Retry(total=4, connect=None)) after connection broken by "
NO_VERSION = "ERROR: Could not find a version that satisfies the requirement psutil (from versions: none)"


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (OS_ERROR + "[Errno 28] No space left on device", "The disk is full"),
        (
            OS_ERROR + "[WinError 5] Access is denied: 'C:\\\\Slicer\\\\lib\\\\x.py'",
            "Slicer's folder cannot be written",
        ),
        (OS_ERROR + "[WinError 5] Access is denied: 'C:\\\\Slicer\\\\torch\\\\_C.pyd'", "A file is in use"),
        (
            OS_ERROR
            + "[Errno 2] No such file or directory: 'C:\\\\a'\nHINT: This error might have occurred since this "
            "system does not have Windows Long Path support enabled.",
            "A path is too long for Windows",
        ),
        (
            RETRYING
            + "'NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection object>: Failed to establish "
            "a new connection: [Errno -3] Temporary failure in name resolution')'\n" + NO_VERSION,
            "no connection to the package server",
        ),
        (
            RETRYING + "'SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify "
            "failed: self signed certificate in certificate chain'))'\n" + NO_VERSION,
            "A certificate could not be checked",
        ),
        (
            RETRYING + "'ProxyError('Cannot connect to proxy.', OSError('Tunnel connection failed: 407 Proxy'))'",
            "The proxy refused",
        ),
        (
            "ERROR: Cannot install a and b because these package versions have conflicting dependencies.\n"
            "ERROR: ResolutionImpossible: for help",
            "Another extension needs other versions",
        ),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "A download is damaged"),
        (NO_VERSION + "\nERROR: No matching distribution found for psutil", "no build of a package for this system"),
        ("RuntimeError: The NVIDIA driver on your system is too old (found 10010).", "The NVIDIA driver is too old"),
        (
            "error: subprocess-exited-with-error\nerror: Microsoft Visual C++ 14.0 or greater is required.",
            "would have to be compiled",
        ),
        ("No module named pip", "pip itself is missing"),
        ("ERROR: something new", "The installation failed (ERROR: something new)"),
        ("", "no reason given"),
    ],
)
def test_what_pip_wrote_becomes_one_sentence(output: str, sentence: str) -> None:
    message = explain_failure(output)
    assert sentence in message
    assert "\n" not in message
