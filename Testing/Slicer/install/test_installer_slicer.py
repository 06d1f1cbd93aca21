"""Slicer's own functions that install: test doubles with the signatures of 5.10, 5.12 and the PyTorch extension."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace
from typing import Any

import pytest

from FocusNetSegmentationLib.install.installer import (
    InstallError,
    InstallReport,
    PyTorchExtension,
    SlicerPip,
    Step,
    explain_failure,
)
from FocusNetSegmentationLib.install.preflight import TORCH

from ..helpers_installer import installer


def pip_5_10(calls: list[Any], status: int = 0) -> Any:
    def pip_install(requirements: str | list[str]) -> None:
        calls.append(requirements)
        print("Collecting it")
        if status:
            print("ERROR: [Errno 28] No space left on device")
            raise subprocess.CalledProcessError(status, ["pip"], output=None, stderr=None)

    return SimpleNamespace(util=SimpleNamespace(pip_install=pip_install))


def pip_5_12(calls: list[Any]) -> Any:
    def pip_ensure(
        requirements: Any,
        constraints: Any = None,
        skip_packages: Any = None,
        prompt_install: bool = True,
        prompt_restart: bool = True,
        requester: str | None = None,
        skip_in_testing: bool = True,
        show_progress: bool = True,
    ) -> None:
        calls.append((requirements, prompt_install, prompt_restart, requester))

    slicer = pip_5_10(calls)
    slicer.packaging = SimpleNamespace(pip_ensure=pip_ensure)
    return slicer


def test_slicer_5_12_is_asked_through_pip_ensure_without_a_second_question() -> None:
    calls: list[Any] = []
    SlicerPip(pip_5_12(calls)).install(["psutil>=5.9"], [], lambda _: None)
    assert calls == [(["psutil>=5.9"], False, False, "FocusNet Segmentation")]


def test_slicer_5_10_and_wheels_go_through_pip_install() -> None:
    calls: list[Any] = []
    lines: list[str] = []
    SlicerPip(pip_5_10(calls)).install(["psutil>=5.9"], [], lines.append)
    SlicerPip(pip_5_12(calls)).install(["psutil>=5.9"], ["--no-index", "--find-links", "a b"], lines.append)
    assert calls == [["psutil>=5.9"], ["--no-index", "--find-links", "a b", "psutil>=5.9"]]
    assert lines[0] == "Collecting it"


def test_slicers_exception_without_a_reason_gets_the_one_that_was_printed() -> None:
    with pytest.raises(InstallError) as caught:
        SlicerPip(pip_5_10([], status=1)).install(["psutil"], [], lambda _: None)
    assert "The disk is full" in explain_failure(caught.value.output)
    report: InstallReport = installer(SlicerPip(pip_5_10([], status=1))).install([Step("packages", "t", ("psutil",))])
    assert report.message.startswith("The disk is full")


def test_the_pytorch_extension_is_asked_with_a_version_and_without_a_dialog() -> None:
    calls: list[Any] = []

    class Logic:
        def installTorch(
            self,
            askConfirmation: bool = False,
            forceComputationBackend: Any = None,
            torchVersionRequirement: Any = None,
        ) -> object:
            calls.append((askConfirmation, torchVersionRequirement))
            return object()

        def uninstallTorch(self, askConfirmation: bool = False, forceComputationBackend: Any = None) -> None:
            calls.append("uninstall")
            raise OSError("half there")

    PyTorchExtension(Logic()).install(TORCH, False, lambda _: None)
    PyTorchExtension(Logic()).install(TORCH, True, lambda _: None)
    assert calls == [(False, ">=2.2"), "uninstall", (False, ">=2.2")]
    Logic.installTorch = lambda *_, **__: None  # type: ignore[method-assign,assignment]
    with pytest.raises(InstallError):
        PyTorchExtension(Logic()).install(TORCH, False, lambda _: None)
    assert PyTorchExtension.find() is None, "there is no such extension here"
