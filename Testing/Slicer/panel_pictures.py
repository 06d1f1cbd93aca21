"""Pictures of the panel in its states, on stand-ins for Slicer's widgets: the real form and the real code outside Slicer, so fonts and
widgets look a little different there. With slicer-core and PySide6:

    QT_QPA_PLATFORM=offscreen python -m Testing.Slicer.panel_pictures FOLDER

With FOCUSNET_WORKER_PYTHON (a Python with torch) the result in them is the shipped model's on the phantom; else a made-up one.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .helpers_panel import GPU, PROBE, SPACING_MM, PanelOnStandIns, panel_on_stand_ins
from .helpers_panel_review import show_planted_errors

NAME = "CT 1 3.0 Neck with contrast 20240301"
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
    panel.settle()
    panel.ui.exportCollapsibleButton.collapsed = False


def review(panel: PanelOnStandIns) -> None:
    """Three errors planted in the phantom's own organs, scored by ``focusnet qa``; one organ approved, the next one chosen."""
    show_planted_errors(panel)
    panel.ui.inputsCollapsibleButton.collapsed = True
    panel.ui.reviewCollapsibleButton.collapsed = False
    panel.until(lambda: not panel.panel.review.scoring.is_running, 120)
    panel.ui.reviewerLineEdit.text = "A. Reader"
    panel.panel.review.step(1)
    panel.panel.review.approve()
    panel.settle()


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
    "compare": (compare, {}),
    "failed": (failed, {}),
    "missing": (missing, {"probe": NO_TORCH}),
}


def main(folder: Path, names: list[str]) -> None:
    for name in names or list(STATES):
        make, options = STATES[name]
        with tempfile.TemporaryDirectory() as work, panel_on_stand_ins(Path(work), **options) as panel:
            panel.until(lambda panel=panel: panel.panel.installation.found is not None, 60)  # type: ignore[misc]
            make(panel)
            panel.picture(folder / f"panel-{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
