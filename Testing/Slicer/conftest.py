"""``world``: a scene with Slicer's logic; ``case``: a result in it with its review. ``panel``: the real panel on stand-ins for Slicer's
widgets (see stand_ins.py), opened, with a stand-in worker; ``open_panel`` for any other kind; ``reviewed``: one with scores.
``process`` and ``log``: what a worker runs in and what it told."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from FocusNetSegmentationLib.process.worker import QtProcess, SubprocessProcess

from .helpers_panel_review import open_scored
from .helpers_worker import Log


@pytest.fixture(scope="session", autouse=True)
def application() -> Any:
    """One application for all tests, with widgets: Qt has no second one, and a test that needs only its event loop must not make one
    without."""
    try:
        from PySide6 import QtWidgets
    except ImportError:
        return None
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    return QtWidgets.QApplication.instance() or QtWidgets.QApplication([])


@pytest.fixture
def world() -> Any:
    """See ``helpers_nodes.World``. Its tests have asked for ``slicer`` already."""
    from .helpers_nodes import World

    return World()


@pytest.fixture
def case(world: Any) -> Iterator[tuple[Any, Any]]:
    """A result in ``world`` and its review."""
    from FocusNetSegmentationLib.review.states import Review

    _, imported, _ = world.result()
    review = Review(imported.node)
    yield imported.node, review
    review.close()


@pytest.fixture
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files go during the test, which must leave none."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def open_panel(tmp_path: Path, temporary_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Opens panels with the arguments of ``panel_on_stand_ins``; each is closed when the test ends."""
    pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")
    pytest.importorskip("PySide6", reason="needs PySide6 (Python 3.12: pip install '.[slicer-test]')")
    if os.name != "posix":
        pytest.skip("the stand-in for the program PythonSlicer is a shell script")
    monkeypatch.setenv("QT_QPA_PLATFORM", os.environ.get("QT_QPA_PLATFORM", "offscreen"))
    from .helpers_panel import panel_on_stand_ins

    with contextlib.ExitStack() as opened:
        yield lambda **options: opened.enter_context(panel_on_stand_ins(tmp_path, **options))


@pytest.fixture
def panel(open_panel: Callable[..., Any]) -> Any:
    return open_panel()


@pytest.fixture
def reviewed(panel: Any) -> Any:
    """A panel with a result whose organs have been scored."""
    panel.volume()
    panel.apply()
    open_scored(panel)
    return panel


@pytest.fixture(params=["subprocess", "qt"])
def process(request: pytest.FixtureRequest) -> Any:
    """Both ways in which a worker is started."""
    if request.param == "subprocess":
        return SubprocessProcess()
    core = pytest.importorskip("PySide6.QtCore", reason="QProcess is tested with PySide6, which is not installed")
    application = core.QCoreApplication.instance() or core.QCoreApplication([])
    made = QtProcess(core)
    made.application = application
    return made


@pytest.fixture
def log() -> Log:
    return Log()
