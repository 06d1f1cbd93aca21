"""Panel on stand-ins: first start and installation. Not "tested in Slicer": see stand_ins.py. The processes are real, pip in them is a script."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from FocusNetSegmentationLib.install.preflight import PACKAGES

from .test_models import NO_TORCH

FULL_DISK = "echo 'Collecting torch'; echo 'ERROR: [Errno 28] No space left on device'; exit 1"
SLOW = "echo 'Collecting torch'; exec sleep 600"


def pip_writes(folder: Path, script: str, probe: dict[str, Any] = NO_TORCH) -> None:
    """From now on PythonSlicer runs ``script`` in place of pip, with the arguments of each call kept in ``folder``/asked."""
    from ..helpers_panel import write_python_slicer

    program = write_python_slicer(folder / "bin", probe)
    entry = f"  *install.pip_child*) shift 2; echo \"$*\" >> '{folder}/asked'; {script} ;;\n"
    text = program.read_text("utf-8").replace("  *) exec", entry + "  *) exec")
    program.write_text(text, encoding="utf-8")


def asked(folder: Path) -> list[str]:
    """Return the arguments of each call of pip so far."""
    path = folder / "asked"
    return path.read_text("utf-8").splitlines() if path.is_file() else []


@pytest.fixture
def empty(open_panel: Callable[..., Any]) -> Iterator[Any]:
    """A panel on a computer without PyTorch and without the PyTorch extension."""
    panel = open_panel(probe=NO_TORCH)
    return panel


def banner(panel: Any) -> Any:
    return panel.panel.installation.banner


def wait(panel: Any) -> None:
    panel.until(lambda: not panel.panel.installation.installing, 60)
    panel.settle()


def first_visible_text(panel: Any) -> str:
    """What a person reads at the very top of the panel."""
    from PySide6 import QtCore, QtWidgets

    from ..helpers_panel import plain

    panel.show(height=386)  # what Slicer leaves for a module on a screen of 1280 x 720
    content = panel.host.area.widget()
    labels = [w for w in content.findChildren(QtWidgets.QLabel) if w.isVisible() and plain(w.text())]
    return plain(min(labels, key=lambda w: w.mapTo(content, QtCore.QPoint(0, 0)).y()).text())


def test_the_first_visible_line_says_what_is_missing_and_the_button_stands_there(empty: Any) -> None:
    line = first_visible_text(empty)
    assert line.startswith("✗ Not installed yet: PyTorch.")
    assert "to download" in line, "sizes and times are named before anyone agrees"
    assert "minutes" in line
    button = banner(empty).installButton._target
    assert button.isVisible()
    assert button.mapTo(empty.host.area, button.rect().topLeft()).y() < 200, "without scrolling"
    assert not empty.ui.applyButton.enabled
    empty.volume()
    assert empty.says == "⚠ Something is not installed yet: press Install at the top."


def test_with_everything_there_the_line_is_gone(panel: Any) -> None:
    assert not banner(panel).widget._target.isVisibleTo(panel.host.area.widget())
    assert first_visible_text(panel).startswith("Research software")


def test_what_only_an_update_of_slicer_brings_is_said_too(empty: Any) -> None:
    from dataclasses import replace

    from FocusNetSegmentationLib.install.preflight import Item

    found = empty.panel.installation.found
    numpy = Item("numpy", "numpy", "missing", "numpy 1.24 is installed; 1.26 or later is needed. Update Slicer.")
    empty.panel.installation.show(replace(found, items=(*found.items, numpy), missing_packages=PACKAGES[:2]))
    line = first_visible_text(empty)
    assert "PyTorch and 2 small packages" in line
    assert line.endswith("Update Slicer.")


def test_nothing_happens_without_consent_which_names_sizes_and_times(empty: Any, tmp_path: Path) -> None:
    pip_writes(tmp_path, "exit 0")
    empty.stand_ins.answers = [True, False]
    banner(empty).installButton.click()
    (first, question, _), (second, steps, _) = empty.stand_ins.dialogs[-2:]
    assert (first, second) == ("confirmYesNoDisplay", "confirmOkCancelDisplay")
    assert "Extensions Manager" in question
    assert "package index" in question
    assert "to download" in steps
    assert "minutes" in steps
    assert empty.text("installStatusLabel") == "Nothing was installed, as you chose."
    assert asked(tmp_path) == []


def test_install_takes_pytorch_from_the_index_after_consent_and_looks_again(empty: Any, tmp_path: Path) -> None:
    from ..helpers_panel import PROBE

    pip_writes(tmp_path, "echo 'Successfully installed torch'; exit 0", {**PROBE, "smoke": {"cpu": ""}})
    empty.volume()
    banner(empty).installButton.click()
    assert empty.panel.installation.installing, "the window goes on meanwhile"
    assert not empty.ui.installButton.enabled
    wait(empty)
    assert len(asked(tmp_path)) == 1
    assert asked(tmp_path)[0].endswith("torch>=2.2")
    assert empty.text("installStatusLabel").startswith("✓ Everything is installed and works.")
    assert empty.ui.applyButton.enabled
    assert not empty.ui.installButton.enabled
    assert not banner(empty).widget._target.isVisibleTo(empty.host.area.widget())


def test_whoever_prefers_the_extension_gets_the_small_packages_and_is_told_what_to_do(
    empty: Any, tmp_path: Path
) -> None:
    from dataclasses import replace

    pip_writes(tmp_path, "exit 0")
    section = empty.panel.installation
    section.show(replace(section.found, missing_packages=PACKAGES[:2]))
    empty.stand_ins.answers = [False, True]
    banner(empty).installButton.click()
    wait(empty)
    assert asked(tmp_path) == [" ".join(PACKAGES[:2])], "PyTorch is left to its extension, the rest is tried"
    assert "Install the extension PyTorch in the Extensions Manager" in empty.text("installStatusLabel")


def test_with_nothing_but_pytorch_missing_the_way_to_its_extension_is_named(empty: Any, tmp_path: Path) -> None:
    pip_writes(tmp_path, "exit 0")
    empty.stand_ins.answers = [False]
    banner(empty).installButton.click()
    empty.settle()
    assert asked(tmp_path) == []
    assert "Install the extension PyTorch in the Extensions Manager" in empty.text("installStatusLabel")


def test_a_failed_installation_is_explained_with_the_details(empty: Any, tmp_path: Path) -> None:
    pip_writes(tmp_path, FULL_DISK)
    banner(empty).installButton.click()
    wait(empty)
    name, text, options = empty.stand_ins.dialogs[-1]
    assert name == "errorDisplay"
    assert text.startswith("The disk is full.")
    assert "Collecting torch" in options["detailedText"]
    assert empty.text("installStatusLabel").startswith("✗ The disk is full.")
    assert empty.ui.installButton.enabled, "and can be tried again"


def test_the_window_lives_during_an_installation_and_cancel_ends_it(empty: Any, tmp_path: Path) -> None:
    from ..helpers_panel import plain

    pip_writes(tmp_path, SLOW)
    started = time.monotonic()
    banner(empty).installButton.click()
    assert time.monotonic() - started < 10, "returns at once; pip would take 600 s"
    empty.until(lambda: "Collecting torch" in plain(banner(empty).statusLabel.text))
    assert banner(empty).cancelButton._target.isVisibleTo(banner(empty).widget._target)
    assert banner(empty).progressBar._target.isVisibleTo(banner(empty).widget._target)
    assert not empty.ui.checkButton.enabled
    banner(empty).cancelButton.click()
    wait(empty)
    assert empty.text("installStatusLabel").startswith("The installation was cancelled.")
    assert empty.ui.installButton.enabled


def test_leaving_slicer_during_an_installation_leaves_no_process(empty: Any, tmp_path: Path) -> None:
    pip_writes(tmp_path, SLOW)
    banner(empty).installButton.click()
    process = empty.panel.installation.installer.command.process
    empty.panel.installation.close()
    assert process._process is None, "killed and forgotten"


def test_wheels_come_from_a_folder_without_a_network(empty: Any, tmp_path: Path) -> None:
    pip_writes(tmp_path, "exit 0")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    empty.stand_ins.file_dialog.answers = [str(wheels)]
    empty.ui.installFromFolderButton.click()
    empty.settle()
    assert "holds no wheels" in empty.text("installStatusLabel")
    (wheels / "torch-2.13.0-cp312-none-any.whl").touch()
    empty.stand_ins.file_dialog.answers = [str(wheels)]
    empty.ui.installFromFolderButton.click()
    wait(empty)
    assert asked(tmp_path)[0].startswith(f"--no-index --find-links {wheels} ")


def test_a_look_that_fails_does_not_keep_anyone_from_trying(open_panel: Callable[..., Any], tmp_path: Path) -> None:
    panel = open_panel()
    program = tmp_path / "bin" / "PythonSlicer"
    program.write_text("#!/bin/sh\necho 'cannot open display' >&2\nexit 1\n", encoding="utf-8")
    panel.ui.checkButton.click()
    panel.settle()
    assert "It is not known whether PyTorch works" in panel.text("preflightLabel")
    assert "half installed" not in panel.text("preflightLabel")
    panel.volume()
    assert panel.ui.applyButton.enabled
