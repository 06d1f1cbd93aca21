"""The real panel class and its real .ui on stand-ins for Slicer's widgets: ``with panel_on_stand_ins(folder) as panel: ...``.

Import it where slicer-core and PySide6 are known to be there. Nothing that runs on it was "tested in Slicer".
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtWidgets

from .stand_in_worker import write_results
from .stand_ins import StandIns, wrap

HERE = Path(__file__).resolve().parent
SPACING_MM = 6.0  # of the phantom, which is the CT of most tests
WIDTH = 420  # the module panel's usual width in Slicer
PROBE = {  # what a computer with torch and without a GPU says
    "python": "3.12.10", "torch": "2.13.0", "torch_metadata": "2.13.0", "torch_error": "", "cuda_build": None, "devices": [], "smoke": {},
}  # fmt: skip
GPU = {"name": "cuda:0", "title": "NVIDIA RTX A5000", "free_mb": 22118, "total_mb": 24564}


class Host:
    """As qSlicerModulePanel: a scroll area whose content takes its width. ``isEntered``: as of Slicer's module widget."""

    def __init__(self) -> None:
        self.area = QtWidgets.QScrollArea()
        self.area.setWidgetResizable(True)
        self.area.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        content = QtWidgets.QWidget()
        self._layout = QtWidgets.QVBoxLayout(content)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self.area.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setWidget(content)
        self.isEntered = False

    def layout(self) -> Any:
        return wrap(self._layout)

    def hide_children(self) -> None:
        """As slicer.util.reloadScriptedModule before it makes the new widget: hidden and out of the layout, but still there."""
        while self._layout.count():
            item = self._layout.takeAt(0)
            if item.widget() is not None:
                item.widget().hide()


class PanelOnStandIns:
    """A panel that was opened. ``ui``: its widgets as the panel sees them. ``runs``: how the stand-in worker goes from now on."""

    def __init__(self, stand_ins: StandIns, module: Any) -> None:
        self.stand_ins, self.module, self.scene = stand_ins, module, stand_ins.scene
        self.host = Host()
        self.widget = module.FocusNetSegmentationWidget(self.host)

    def open(self) -> None:
        self.widget.setup()
        self.enter()

    def enter(self) -> None:
        self.host.isEntered = True
        self.widget.enter()

    def leave(self) -> None:
        self.host.isEntered = False
        self.widget.exit()

    @property
    def ui(self) -> Any:
        return self.widget.ui

    @property
    def panel(self) -> Any:
        return self.widget.panel

    @property
    def parameters(self) -> Any:
        return self.widget.panel.parameters

    @staticmethod
    def worker(mode: str) -> None:
        os.environ["FOCUSNET_STAND_IN"] = mode

    def until(self, condition: Callable[[], object], timeout_s: float = 20.0) -> None:
        """Let the event loop run until ``condition`` holds. Fails the test with what the panel shows if it never does."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            self.stand_ins.application.processEvents(QtCore.QEventLoop.ProcessEventsFlag.AllEvents, 20)
            assert not self.stand_ins.exceptions, self.stand_ins.exceptions
            assert time.monotonic() < deadline, f"never happened; the panel says {self.says!r}"

    def settle(self) -> None:
        """Until nothing goes on in the background and bursts of changes are dealt with."""
        if self.panel is None:  # not opened
            return
        self.until(lambda: self.panel.installation.command is None and self.panel.models.command is None)
        deadline = time.monotonic() + 0.15  # a little more than the panel waits for a burst to end
        self.until(lambda: time.monotonic() > deadline)
        if self.panel is not None:
            self.until(lambda: not self.panel.review.display.is_settling)

    def apply(self, scored: bool = False) -> None:
        """Press Apply and wait for the run's end; with ``scored`` also for the scores, which take seconds, else they are called off."""
        self.ui.applyButton.click()
        self.until(lambda: not self.panel.runs.is_running)
        if scored:
            self.until(lambda: not self.panel.review.scoring.is_running, 120)
        else:
            self.panel.review.scoring.stop()
        self.settle()

    @property
    def says(self) -> str:
        return plain(self.ui.statusLabel.text) if self.panel is not None else ""

    def text(self, widget: str) -> str:
        """What a person reads on one of the panel's widgets."""
        return plain(getattr(self.ui, widget).text)

    def count(self, kind: str = "vtkMRMLSegmentationNode") -> int:
        return int(self.scene.GetNumberOfNodesByClass(kind))

    def shown(self, widget: str) -> bool:
        """Not hidden by the panel, whatever section it lies in."""
        return not getattr(self.ui, widget)._target.isHidden()

    def tick(self, organ: str, on: bool) -> None:
        from PySide6.QtCore import Qt

        listed = self.ui.organsListWidget._target
        item = next(listed.item(i) for i in range(listed.count()) if listed.item(i).toolTip() == organ)
        item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)
        self.settle()

    def volume(self, name: str = "CT 1", spacing_mm: float = SPACING_MM) -> Any:
        """The phantom as a CT of the scene."""
        from FocusNetSegmentationLib.sample_data import add_volume

        array, affine_xyz = phantom_ct(spacing_mm)
        node = add_volume(self.scene, array, affine_xyz, name)
        self.settle()
        return node

    def show(self, height: int | None = None, width: int = WIDTH) -> None:
        """At its width in Slicer; ``height``: None for as high as its content."""
        area, scrolled = self.host.area, self.ui.panelScrollArea._target
        area.resize(width, height or 2000)
        area.show()
        for _ in range(3):
            self.stand_ins.application.processEvents()
        if height is None:
            content = scrolled.widget()
            inner = content.heightForWidth(scrolled.viewport().width()) if content.hasHeightForWidth() else -1
            room = max(inner, content.minimumSizeHint().height()) - scrolled.viewport().height()
            area.resize(width, area.height() + room)
        self.panel.review.fill()
        for _ in range(3):
            self.stand_ins.application.processEvents()

    def picture(self, path: Path, height: int | None = None, width: int = WIDTH) -> None:
        self.show(height, width)
        path.parent.mkdir(parents=True, exist_ok=True)
        assert self.host.area.grab().save(str(path)), path

    def close(self) -> None:
        self.widget.cleanup()
        self.host.area.close()


@functools.cache
def phantom_ct(spacing_mm: float) -> tuple[Any, Any]:
    """HU (z, y, x) and 4x4 index-to-LPS matrix."""
    from focusnet.phantom.write import phantom

    volume, _ = phantom(0, (spacing_mm,) * 3)
    return volume.array, volume.geometry.affine_xyz


@functools.cache
def results() -> Path:
    """Where the stand-in worker finds what it hands over; written once, taken away at the end."""
    folder = Path(tempfile.mkdtemp(prefix="focusnet-stand-in-", dir=os.environ.get("TMPDIR", "/tmp")))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    write_results(folder, SPACING_MM)
    return folder


def plain(text: str) -> str:
    """Rich text as a person reads it."""
    from PySide6 import QtGui

    document = QtGui.QTextDocument()
    document.setHtml(text)
    return document.toPlainText().strip()


def write_python_slicer(folder: Path, probe: dict[str, Any], python: str | None = None) -> Path:
    """The program PythonSlicer in ``folder``, to be put on the PATH. Without ``python`` its torch is a stand-in: the probe says
    ``probe`` and the worker is stand_in_worker.py. With ``python`` it is that Python, which has torch, and everything is real."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "PythonSlicer"
    if python is not None:
        program.write_text(f'#!/bin/sh\nexec "{python}" "$@"\n', encoding="utf-8")
    else:
        program.write_text(
            "#!/bin/sh\n"
            'case "$*" in\n'
            f"  *FocusNetSegmentationLib.install.probe*) echo '{json.dumps(probe)}' ;;\n"
            f'  *FocusNetSegmentationLib.process.worker_child*) shift 2; exec "{sys.executable}" "{HERE / "stand_in_worker.py"}" "$@" ;;\n'
            f'  *) exec "{sys.executable}" "$@" ;;\n'
            "esac\n",
            encoding="utf-8",
        )
    program.chmod(0o755)
    return program


@contextlib.contextmanager
def panel_on_stand_ins(
    folder: Path,
    probe: dict[str, Any] | None = None,
    python: str | None = None,
    dicom: bool = True,
    opened: bool = True,
) -> Iterator[PanelOnStandIns]:
    """``folder``: for the program, the user's models and temporary files. ``python``: see ``write_python_slicer``."""
    program = write_python_slicer(folder / "bin", probe or PROBE, python)
    changed = {
        "PATH": f"{program.parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "FOCUSNET_MODELS": str(folder / "models"),
        "FOCUSNET_STAND_IN": "good",
        "FOCUSNET_STAND_IN_RESULTS": str(results()),
    }
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    (folder / "models").mkdir(exist_ok=True)
    try:
        with StandIns(dicom) as stand_ins:
            module = importlib.import_module("FocusNetSegmentation")
            panel = PanelOnStandIns(stand_ins, module)
            if opened:
                panel.open()
                panel.settle()
            try:
                yield panel
            finally:
                panel.close()
            assert not stand_ins.exceptions, stand_ins.exceptions
            assert stand_ins.app.cursors == 0, "the mouse pointer stayed an hourglass"
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
