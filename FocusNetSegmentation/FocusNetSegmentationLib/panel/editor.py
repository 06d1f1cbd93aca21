"""Slicer's Segment Editor in the panel: without its own list of segments, and set anew whenever a scene came or went."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from ..scene.types import Node, SegmentationNode, VolumeNode
from .widgets import timer

if TYPE_CHECKING:
    from ..scene.types import Widget
    from .panel import Panel

EDITOR_TAG = "FocusNetSegmentation"
# The editor's own keys 1, 2, 3... choose the effects in this order; all others follow.
EFFECTS = ("Paint", "Erase", "Draw", "Scissors", "Fill between slices", "Smoothing", "Islands", "Grow from seeds")
# In qMRMLSegmentEditorWidget.ui; no property hides them in all versions. The first that is there is enough.
OWN_LIST = ("SegmentsTableResizableFrame", "SegmentsTableView")
OWN_BUTTONS = ("AddSegmentButton", "RemoveSegmentButton", "Show3DButton")
DRAW = "Draw"  # this effect takes the keys A and Enter itself
NEXT_SEGMENT = "W"  # the editor's key, which the review needs for the window; N goes to the next organ


class Editor:
    """``widget``: the qMRMLSegmentEditorWidget, made when there is something to edit, because it is the panel's most expensive part.

    ``on_chosen(segment_id)``: a person chose another segment in the editor, with the keys Q and W too. ``on_effect()``: another effect is active.
    """

    def __init__(self, panel: Panel, on_chosen: Callable[[str], object], on_effect: Callable[[], object]) -> None:
        self.panel, self.ui, self.on_chosen, self.on_effect = panel, panel.ui, on_chosen, on_effect
        self.widget: Widget = None
        self._entered = False
        self._setting = False
        self._shown: tuple[str | None, str | None] = (None, None)
        self._node: Node | None = None
        self._node_tag = 0
        self._fitting = timer(0, self.fit)  # the options of an effect are there a moment after it is chosen

    @property
    def node(self) -> Node | None:
        """Return the vtkMRMLSegmentEditorNode, None before there is an editor."""
        return self._node if self.widget is not None else None

    @property
    def effect(self) -> str:
        """Return the active effect's name, "" for none."""
        return str(self._node.GetActiveEffectName() or "") if self._node is not None else ""

    def show(self, node: SegmentationNode | None, volume: VolumeNode | None) -> None:
        """Set the editor to this segmentation over this CT; None for nothing. Cheap where it shows them already."""
        if node is not None and self.widget is None:
            self._make()
        if self.widget is None:
            return
        wanted = (node.GetID() if node is not None else None, volume.GetID() if volume is not None else None)
        if wanted == self._shown and self._node is not None and self._node.GetScene() is not None:
            return
        self._shown = wanted
        self._setting = True
        try:  # in this order: the editor prints errors, or stays empty, in any other
            self._set_node()
            self.widget.setSegmentationNode(node)
            self.widget.setSourceVolumeNode(volume if node is not None else None)
        finally:
            self._setting = False
        self._fitting.start()

    def forget(self) -> None:
        """Show again what comes next, even if it looks like what was there: a scene came, and the editor let go of everything."""
        self._shown = (None, None)

    def choose(self, segment_id: str) -> None:
        """Select a segment, without telling ``on_chosen``."""
        if self.widget is None:
            return
        self._setting = True
        try:
            self.widget.setCurrentSegmentID(segment_id)
        finally:
            self._setting = False

    def chosen(self) -> str:
        """Return the selected segment's ID, "" for none."""
        return str(self.widget.currentSegmentID() or "") if self.widget is not None else ""

    def fit(self) -> None:
        """Make the editor's frame as high as the editor now is; one that is too wide for the panel gets a scroll bar of its own."""
        if self.widget is not None:
            height = self.widget.sizeHint.height() + self.ui.editScrollArea.horizontalScrollBar().sizeHint.height()
            self.ui.editScrollArea.setFixedHeight(height + 4)

    # Making it ---------------------------------------------------------------------------------------------------------------------

    def _make(self) -> None:
        if not hasattr(slicer, "qMRMLSegmentEditorWidget"):
            self.ui.editHintLabel.text = _("This Slicer has no Segment Editor.")
            return
        widget = self.widget = slicer.qMRMLSegmentEditorWidget()
        widget.setMaximumNumberOfUndoStates(10)
        widget.setSegmentationNodeSelectorVisible(False)
        widget.setSourceVolumeNodeSelectorVisible(False)
        widget.setSwitchToSegmentationsButtonVisible(False)
        widget.setEffectNameOrder(list(EFFECTS))
        self._set_node()
        widget.setMRMLScene(self.panel.scene)
        self.ui.editContents.layout().addWidget(widget)
        self._hide_own_list()
        self.ui.editHintLabel.hide()
        widget.connect("currentSegmentIDChanged(QString)", self._chosen)
        if self._entered:
            self._observe_views()

    def _hide_own_list(self) -> None:
        """One list of organs is enough: the review's."""
        for name in OWN_LIST:
            child = self.widget.findChild(qt.QWidget, name)
            if child is not None:
                child.hide()
                break
        for name in OWN_BUTTONS:
            child = self.widget.findChild(qt.QWidget, name)
            if child is not None:
                child.hide()

    def _set_node(self) -> None:
        """A node of our own: Slicer's Segment Editor module keeps its state to itself."""
        scene = self.panel.scene
        node = scene.GetSingletonNode(EDITOR_TAG, "vtkMRMLSegmentEditorNode")
        if node is None:
            node = scene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
            node.UnRegister(None)
            node.SetSingletonTag(EDITOR_TAG)
            node = scene.AddNode(node)
        if node is not self._node:
            self._let_go_of_node()
            self._node = node
            self._node_tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._node_changed)
        self.widget.setMRMLSegmentEditorNode(node)

    def _let_go_of_node(self) -> None:
        if self._node is not None:
            self._node.RemoveObserver(self._node_tag)
            self._node = None

    def _node_changed(self, *_args: object) -> None:
        self._fitting.start()
        self.on_effect()

    def _chosen(self, segment_id: str) -> None:
        if not self._setting and segment_id:
            self.on_chosen(segment_id)

    # Lifecycle ---------------------------------------------------------------------------------------------------------------------

    def _observe_views(self) -> None:
        self.widget.setupViewObservations()
        self.widget.installKeyboardShortcuts()
        self._free_key()

    def _free_key(self) -> None:
        """Take one key from the editor: two shortcuts on one key cancel each other."""
        window = slicer.util.mainWindow()
        for child in window.children() if window is not None else ():
            if child.className() == "QShortcut" and child.key.toString() == NEXT_SEGMENT:
                child.enabled = False

    def enter(self) -> None:
        self._entered = True
        if self.widget is not None:
            self._set_node()
            self._observe_views()
            self.forget()

    def exit(self) -> None:
        self._entered = False
        if self.widget is not None:
            self.widget.setActiveEffect(None)
            self.widget.uninstallKeyboardShortcuts()
            self.widget.removeViewObservations()

    def scene_closing(self) -> None:
        self.forget()
        if self.widget is not None:
            self._setting = True
            try:
                self.widget.setActiveEffect(None)
                self.widget.setSegmentationNode(None)
                self.widget.setSourceVolumeNode(None)
                self.widget.removeViewObservations()
            finally:
                self._setting = False
        self._let_go_of_node()

    def scene_came(self) -> None:
        """Give the editor a node again, after a scene was closed or loaded: the old one went with the scene."""
        self.forget()
        if self.widget is not None:
            self._set_node()
            if self._entered:
                self.widget.setupViewObservations()

    def close(self) -> None:
        self._fitting.stop()
        self._fitting.deleteLater()
        if self.widget is not None:
            self.exit()
            self.widget.setSegmentationNode(None)
            self.widget.setMRMLSegmentEditorNode(None)
            self.widget = None
        self._let_go_of_node()
