"""What the installer does and says: the plan, consent, the order, one sentence for what pip wrote. pip and PyTorch are test doubles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from FocusNetSegmentationLib.install.installer import NO_EXTENSION, Installer, Step, explain_failure, plan
from FocusNetSegmentationLib.install.preflight import TORCH, TorchStatus

from ..helpers_installer import GOOD_TORCH, NO_TORCH, Recorder, Told, found, installer


def test_the_plan_holds_only_what_is_missing_and_ends_with_a_test() -> None:
    assert plan(found()) == []
    assert [s.kind for s in plan(found(NO_TORCH, ["psutil>=5.9"]))] == ["torch", "packages", "smoke"]
    assert [s.kind for s in plan(found(packages=["psutil>=5.9"]))] == ["packages", "smoke"]
    half = plan(found(TorchStatus(None, "2.13.0", "OSError: broken")))
    assert half[0].reinstall
    assert half[0].title == "Install PyTorch again"


def test_nothing_happens_without_consent() -> None:
    pip, torch = Recorder(), Recorder()
    asked: list[Sequence[Step]] = []
    one = Installer(pip, torch, consent=lambda steps: bool(asked.append(steps)), smoke=lambda: GOOD_TORCH)
    report = one.install(plan(found(NO_TORCH, ["psutil>=5.9"])))
    assert (report.ok, report.cancelled) == (False, True)
    assert [s.title for s in asked[0]] == [
        "Install PyTorch (a large download)",
        "Install psutil",
        "Test the installation with a small computation",
    ]
    assert pip.calls == torch.calls == []


def test_torch_comes_from_the_extension_and_the_rest_from_pip_in_this_order() -> None:
    pip, torch, told = Recorder("Successfully installed psutil"), Recorder("Downloading torch"), Told()
    report = installer(pip, torch, on_progress=told).install(plan(found(NO_TORCH, ["psutil>=5.9"])))
    assert report.ok, report
    assert torch.calls == [(TORCH, False)]
    assert pip.calls == [(("psutil>=5.9",), [])]
    assert [line for _, _, line in told.progress if line.startswith(("Down", "Succ"))] == [
        "Downloading torch",
        "Successfully installed psutil",
    ]
    fractions = [f for _, f, _ in told.progress]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_without_the_extension_it_is_said_what_to_do() -> None:
    report = installer(Recorder()).install(plan(found(NO_TORCH)))
    assert not report.ok
    assert report.message == NO_EXTENSION


def test_a_failed_smoke_test_is_a_failed_installation() -> None:
    report = installer(
        Recorder(), Recorder(), smoke=TorchStatus(None, "2.13.0", "OSError: libcudnn.so.9: cannot open")
    ).install(plan(found(NO_TORCH)))
    assert not report.ok
    assert "half installed" in report.message


def test_a_helper_that_raises_anything_is_a_sentence_with_details() -> None:
    report = installer(Recorder(), Recorder("a line", ZeroDivisionError("oops"))).install(plan(found(NO_TORCH)))
    assert not report.ok
    assert "ZeroDivisionError: oops" in report.message
    assert "a line" in report.details


def test_a_package_that_is_loaded_already_asks_for_a_restart() -> None:

    assert installer(Recorder()).install([Step("packages", "t", ("psutil>=5.9",))]).restart
    assert not installer(Recorder()).install([Step("packages", "t", ("slicerio>=1.2",))]).restart


def test_an_empty_folder_is_refused_before_pip_runs(tmp_path: Path) -> None:
    pip = Recorder()
    report = installer(pip, wheels=tmp_path).install([Step("packages", "Install", ("x",))])
    assert "holds no wheels" in report.message
    assert pip.calls == []


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
