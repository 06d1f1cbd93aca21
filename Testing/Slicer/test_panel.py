"""Panel on stand-ins: the real widget class and the real .ui, on stand-ins for Slicer's widgets and a live scene of slicer-core.

Not "tested in Slicer": see stand_ins.py. The worker is a real process that speaks the real protocol, without a network.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")
pytest.importorskip("PySide6", reason="needs PySide6 (pip install '.[slicer-test]')")
if os.name != "posix":
    pytest.skip("the program PythonSlicer is a shell script here", allow_module_level=True)
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from .helpers_panel import PanelOnStandIns, panel_on_stand_ins


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def panel(tmp_path: Path) -> Iterator[PanelOnStandIns]:
    with panel_on_stand_ins(tmp_path) as opened:
        yield opened


def segmentations(panel: PanelOnStandIns) -> int:
    return int(panel.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode"))


def test_with_one_ct_and_one_model_one_click_does_it(panel: PanelOnStandIns, temporary_folder: Path) -> None:
    ct = panel.volume()
    assert panel.ui.inputVolumeSelector.currentNode() is ct
    assert panel.ui.applyButton.enabled
    panel.apply()
    assert "Done in" in panel.says
    result = panel.parameters.resultSegmentation
    assert result.GetSegmentation().GetNumberOfSegments() == 7
    assert panel.ui.resultSelector.currentNode() is result
    assert panel.ui.exportButton.enabled
    assert list(temporary_folder.iterdir()) == []
