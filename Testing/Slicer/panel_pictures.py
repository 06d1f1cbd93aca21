"""Pictures of the panel in its states, on stand-ins for Slicer's widgets: the real form and the real code outside Slicer, so fonts and
widgets look a little different there. With slicer-core and PySide6:

    QT_QPA_PLATFORM=offscreen PYTHONPATH=FocusNetSegmentation python -m Testing.Slicer.panel_pictures FOLDER [STATE...]

FOLDER/panel-STATE.png is 420 pixels wide and as high as its content; FOLDER/small/panel-STATE.png is what Slicer leaves for a module in a window of
1280x720 (386 pixels high; a red line marks the lower edge), with the panel as it is then.

With FOCUSNET_WORKER_PYTHON (a Python with torch) the result in them is the shipped model's on the phantom; else a made-up one.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6 import QtGui

from .helpers_panel import GPU, PROBE, SPACING_MM, PanelOnStandIns, panel_on_stand_ins
from .helpers_panel_review import empty_organ, open_scored, show_planted_errors

NAME = "CT 1 3.0 Neck with contrast 20240301"
SMALL_VIEWPORT = 386  # pixels that Slicer leaves for a module at 1280x720
NO_TORCH = {
    **PROBE,
    "torch": None,
    "torch_metadata": None,
    "torch_error": "ModuleNotFoundError: No module named 'torch'",
}


def empty(panel: PanelOnStandIns) -> None:
    pass


def ready(panel: PanelOnStandIns) -> None:
    panel.volume(NAME, 4.5)
    panel.ui.organsCollapsibleButton.collapsed = False


def warped(panel: PanelOnStandIns) -> None:
    node = panel.volume(NAME, 4.5)
    node.SetAndObserveTransformNodeID(panel.scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "Warp").GetID())
    panel.settle()


def running(panel: PanelOnStandIns) -> None:
    panel.volume(NAME, 4.5)
    panel.worker("wait")
    panel.ui.applyButton.click()
    panel.until(lambda: "Segmenting" in panel.says)


def done(panel: PanelOnStandIns) -> None:
    real = bool(os.environ.get("FOCUSNET_WORKER_PYTHON"))
    panel.volume(NAME, 3.0 if real else SPACING_MM)
    panel.ui.applyButton.click()
    panel.until(lambda: not panel.panel.runs.is_running, 240)
    panel.until(lambda: not panel.panel.review.scoring.is_running, 120)
    panel.settle()


def review(panel: PanelOnStandIns) -> None:
    """Three errors planted in the phantom's own organs, scored by ``focusnet qa``; one organ approved, the next one chosen."""
    show_planted_errors(panel)
    panel.ui.inputsCollapsibleButton.collapsed = True
    panel.ui.outputsCollapsibleButton.collapsed = True
    panel.panel.review.open_on_worst()
    panel.until(lambda: not panel.panel.review.scoring.is_running, 120)
    panel.ui.reviewerLineEdit.text = "A. Reader"
    panel.settle()
    panel.panel.review.approve()
    panel.settle()
    panel.ui.editCollapsibleButton.collapsed = True


def learn(panel: PanelOnStandIns) -> None:
    """Three organs approved and put into a training set."""
    show_planted_errors(panel)
    panel.ui.inputsCollapsibleButton.collapsed = True
    panel.ui.outputsCollapsibleButton.collapsed = True
    open_scored(panel)
    panel.ui.reviewerLineEdit.text = "A. Reader"
    for organ in ("Parotid_L", "Brainstem", "SpinalCord"):
        panel.panel.review.select(organ)
        panel.settle()
        panel.panel.review.approve()
        panel.settle()
    panel.ui.editCollapsibleButton.collapsed = True
    panel.panel.review.scoring.stop()
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "corrected"
        folder.mkdir()
        panel.stand_ins.file_dialog.answers = [str(folder)]
        panel.ui.collectButton.click()
        panel.until(lambda: not panel.panel.review.finish.learn.is_collecting, 600)
        panel.settle()
    panel.panel.say("ok", panel.says.lstrip("✓ ").replace(work, "/data"))
    panel.panel.review.fill()


def correct(panel: PanelOnStandIns) -> None:
    """The Segment Editor below the list, with options as wide as Paint's are in Slicer 5.8."""
    panel.volume(NAME)
    panel.apply()
    panel.panel.review.select("Parotid_L")
    panel.panel.result.editor._target.setMinimumWidth(500)
    panel.settle()


def large(panel: PanelOnStandIns) -> None:
    """22 organs with letters of 15 points."""
    application = panel.stand_ins.application
    application.setFont(QtGui.QFont(application.font().family(), 15))
    review(panel)


def absent(panel: PanelOnStandIns) -> None:
    """An organ of which nothing is drawn, and the other organs off."""
    panel.volume(NAME)
    panel.apply()
    empty_organ(panel, "Esophagus")
    panel.panel.review.select("Esophagus")
    panel.settle()
    panel.ui.editCollapsibleButton.collapsed = True
    panel.panel.review.display.toggle_others()


def compare(panel: PanelOnStandIns) -> None:
    """The phantom's own organs as the reference; in the segmentation two of them are wrong, one is not drawn."""
    from dataclasses import replace

    from FocusNetSegmentationLib.exchange.compare import add_reference
    from FocusNetSegmentationLib.sample_data import add_volume
    from FocusNetSegmentationLib.scene.nodes import import_result

    from ..Core.helpers_qa import missing_slices, phantom_case, swapped

    volume, reference = phantom_case()
    wrong = swapped(missing_slices(reference, "Parotid_R"), "Eye_L", "Eye_R")
    drawn = replace(wrong, results=tuple(r for r in wrong.results if r.organ.name != "Pituitary"))
    ct = add_volume(panel.scene, volume.array, volume.geometry.affine_xyz, "Phantom")
    panel.parameters.inputVolume = ct
    panel.parameters.resultSegmentation = import_result(panel.scene, drawn, ct).node
    panel.settle()
    panel.ui.inputsCollapsibleButton.collapsed = True
    panel.ui.compareCollapsibleButton.collapsed = False
    panel.ui.referenceSelector.setCurrentNode(add_reference(panel.scene, reference, ct, "Phantom reference"))
    panel.ui.compareButton.click()
    panel.settle()


def failed(panel: PanelOnStandIns) -> None:
    panel.volume(NAME, 4.5)
    panel.worker("memory")
    panel.apply()
    panel.ui.advancedCollapsibleButton.collapsed = False


def missing(panel: PanelOnStandIns) -> None:
    panel.volume(NAME, 4.5)


STATES: dict[str, tuple[Callable[[PanelOnStandIns], None], dict[str, Any]]] = {
    "empty": (empty, {}),
    "ready": (ready, {"probe": {**PROBE, "cuda_build": "12.8", "devices": [GPU]}}),
    "warped": (warped, {}),
    "running": (running, {}),
    "done": (done, {"python": os.environ.get("FOCUSNET_WORKER_PYTHON")}),
    "review": (review, {}),
    "learn": (learn, {}),
    "correct": (correct, {}),
    "absent": (absent, {}),
    "large": (large, {}),
    "compare": (compare, {}),
    "failed": (failed, {}),
    "missing": (missing, {"probe": NO_TORCH}),
}


def main(folder: Path, names: list[str]) -> None:
    for name in names or list(STATES):
        make, options = STATES[name]
        with tempfile.TemporaryDirectory() as work, panel_on_stand_ins(Path(work), **options) as panel:
            font = panel.stand_ins.application.font()
            try:
                panel.until(lambda panel=panel: panel.panel.installation.found is not None, 60)  # type: ignore[misc]
                make(panel)
                panel.picture(folder / f"panel-{name}.png")
                small = folder / "small" / f"panel-{name}.png"
                panel.picture(small, SMALL_VIEWPORT)
                mark_lower_edge(small)
            finally:
                panel.stand_ins.application.setFont(font)


def mark_lower_edge(path: Path) -> None:
    """A red line where the visible part of the panel ends."""
    image = QtGui.QImage(str(path))
    painter = QtGui.QPainter(image)
    painter.fillRect(0, image.height() - 2, image.width(), 2, QtGui.QColor("red"))
    painter.end()
    image.save(str(path))


if __name__ == "__main__":
    PanelOnStandIns.patience_s = 180.0  # a real PyTorch on a busy computer
    main(Path(sys.argv[1]), sys.argv[2:])
