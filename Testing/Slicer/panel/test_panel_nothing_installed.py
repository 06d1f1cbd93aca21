"""Panel on stand-ins in a Slicer that has next to nothing: what the extension needs is not installed, and Slicer's newer or optional
parts are missing (as in a 5.8 that was built without DICOM and without an Extensions Manager). Not "tested in Slicer".
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from ...paths import ROOT

pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")
pytest.importorskip("PySide6", reason="needs PySide6 (Python 3.12: pip install '.[slicer-test]')")

START = """
import os, sys, tempfile, types
from pathlib import Path
os.environ["QT_QPA_PLATFORM"] = "offscreen"
from Testing.Slicer.helpers_panel import *
MISSING = "torch scipy SimpleITK pydicom slicerio nrrd platformdirs psutil safetensors highdicom matplotlib SampleData PyTorchUtils".split()
for name in [n for n in sys.modules if n.partition(".")[0] in MISSING]:
    del sys.modules[name]
for name in MISSING:
    sys.modules[name] = None
import importlib.metadata
real_version = importlib.metadata.version
def version(name):
    if {"pynrrd": "nrrd"}.get(name, name) in MISSING: raise importlib.metadata.PackageNotFoundError(name)
    return real_version(name)
importlib.metadata.version = version
from Testing.Slicer import helpers_panel
helpers_panel.results = lambda: ""  # no run here
"""

LOAD = """
import socket
def no_network(*_, **__): raise AssertionError("the network was used")
socket.socket.connect = socket.create_connection = no_network
with StandIns(dicom=False) as stand_ins:
    before = set(sys.modules)
    import FocusNetSegmentation
    parent = types.SimpleNamespace()
    FocusNetSegmentation.FocusNetSegmentation(parent)
    loaded = {n.partition(".")[0] for n in set(sys.modules) - before}
    assert loaded == {"FocusNetSegmentation"}, loaded
    stand_ins.app.startupCompleted.emit()
    assert not stand_ins.exceptions, stand_ins.exceptions
    assert parent.title == "FocusNet Segmentation"
    assert "not a medical device" in parent.helpText
"""

OPEN = """
NO_TORCH = {**PROBE, "torch": None, "torch_metadata": None, "torch_error": "ModuleNotFoundError: No module named 'torch'"}
with tempfile.TemporaryDirectory() as folder, panel_on_stand_ins(Path(folder), probe=NO_TORCH, dicom=False) as panel:
    assert panel.ui.loadDicomButton.text == "Load file..."
    assert panel.text("preflightLabel").startswith("✗ PyTorch is not installed.")
    assert "✗ PyTorch is not installed." in panel.text("preflightLabel")
    for name in ("slicerio", "pynrrd", "platformdirs", "psutil"):
        assert f"✗ {name} is not installed" in panel.text("preflightLabel"), panel.text("preflightLabel")
    assert not panel.ui.applyButton.enabled
    panel.ui.sampleDataButton.click()
    panel.settle()
    assert panel.says.startswith("✗ The sample data need packages that are not here yet."), panel.says
    assert "No module named" not in panel.says, panel.says
    import numpy as np
    from FocusNetSegmentationLib.sample_data import add_volume
    add_volume(panel.scene, np.zeros((40, 80, 80), np.int16), np.diag([3.0, 3.0, 3.0, 1.0]), "CT")
    panel.settle()
    assert "checked when it is segmented" in panel.text("inputStatusLabel"), panel.text("inputStatusLabel")
    panel.stand_ins.answers = [True, False]
    panel.ui.installButton.click()
    panel.settle()
    name, steps, _ = panel.stand_ins.dialogs[-1]
    assert "slicerio" in steps and "PyTorch" in steps and "to download" in steps, steps
    assert panel.text("installStatusLabel") == "Nothing was installed, as you chose."
    panel.leave()
    panel.enter()
    panel.settle()
"""


def run(code: str) -> None:
    paths = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'FocusNetSegmentation')!r}]\n"
    done = subprocess.run([sys.executable, "-c", paths + START + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_slicer_starts_with_nothing_loaded_but_the_modules_own_file() -> None:
    """No torch, no network, no package of ours, no error where the Sample Data module is missing."""
    run(LOAD)


def test_the_panel_opens_and_says_what_is_missing() -> None:
    run(OPEN)
