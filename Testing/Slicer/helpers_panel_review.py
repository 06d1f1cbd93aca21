"""What a person does and reads in the panel's review section."""

from __future__ import annotations

from typing import Any

import numpy as np

ORGANS = ("Brainstem", "SpinalCord", "Parotid_R", "Parotid_L", "Esophagus", "Larynx", "Bone_Mandible")
SCORED = {
    "organs": [
        {"organ": "Larynx", "score": 4.0, "state_hint": "look at", "reasons": ["3 slices are missing inside it.", "Second."]},
        {"organ": "Parotid_L", "score": 1.5, "state_hint": "look at", "reasons": ["Half the size of the right one."]},
        {"organ": "Esophagus", "score": None, "state_hint": "not judged", "reasons": ["No statistics for this organ."]},
        *({"organ": o, "score": 0.2, "state_hint": "no sign of a mistake", "reasons": ["Nothing odd was found."]}
          for o in ("Brainstem", "Parotid_R", "SpinalCord", "Bone_Mandible")),
    ],
}  # fmt: skip


def show_planted_errors(panel: Any) -> None:
    """The phantom's own organs with three errors planted: slices missing, sides exchanged, a blob far away."""
    from FocusNetSegmentationLib.sample_data import add_volume
    from FocusNetSegmentationLib.scene.nodes import import_result

    from ..Core.helpers_qa import far_blob, missing_slices, phantom_case, swapped

    volume, reference = phantom_case()
    wrong = far_blob(swapped(missing_slices(reference, "Parotid_R"), "Eye_L", "Eye_R"), "Brainstem")
    panel.parameters.inputVolume = add_volume(panel.scene, volume.array, volume.geometry.affine_xyz, "Phantom")
    panel.parameters.resultSegmentation = import_result(panel.scene, wrong, panel.parameters.inputVolume).node
    panel.settle()


def open_scored(panel: Any) -> None:
    from FocusNetSegmentationLib.review.scores import scores_from

    section = panel.panel.review
    section.scoring.stop()
    section.review.set_scores(scores_from(SCORED))
    panel.ui.reviewCollapsibleButton.collapsed = False
    section.fill()
    panel.settle()


def table(panel: Any) -> list[list[str]]:
    widget = panel.ui.reviewTable._target
    return [[widget.item(r, c).text() for c in range(2, 6)] for r in range(widget.rowCount())]


def states(panel: Any) -> dict[str, str]:
    return {row[0]: row[1] for row in table(panel)}


def press(panel: Any, key: str) -> None:
    """The key's shortcut, as Qt would call it."""
    from PySide6 import QtGui

    wanted = QtGui.QKeySequence(key)
    (shortcut,) = (s._target for s in panel.panel.review.keys.shortcuts if s._target.key() == wanted)
    shortcut.activated.emit()
    panel.settle()


def choose(panel: Any, organ: str) -> None:
    """Click on a row."""
    panel.ui.reviewTable._target.selectRow([row[0] for row in table(panel)].index(organ))
    panel.settle()


def paint(panel: Any, organ: str) -> None:
    from FocusNetSegmentationLib.scene.labelmaps import voxels

    node = panel.parameters.resultSegmentation
    segment = node.GetSegmentation().GetSegment(panel.panel.review.review.segments()[organ])
    image = segment.GetRepresentation("Binary labelmap")
    voxels(image)[tuple(np.argwhere(voxels(image) == segment.GetLabelValue())[0])] = 0
    image.Modified()
    panel.until(lambda: not panel.panel.review._timer.active)
    panel.settle()


def empty_organ(panel: Any, organ: str) -> None:
    """Erase all of an organ."""
    from FocusNetSegmentationLib.scene.labelmaps import voxels

    node = panel.parameters.resultSegmentation
    segment = node.GetSegmentation().GetSegment(panel.panel.review.review.segments()[organ])
    image = segment.GetRepresentation("Binary labelmap")
    voxels(image)[voxels(image) == segment.GetLabelValue()] = 0
    image.Modified()
    panel.until(lambda: not panel.panel.review._timer.active)
    panel.settle()
