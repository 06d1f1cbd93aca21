"""Stand-ins for CTK's and Slicer's own widgets, on PySide6 and a live slicer-core scene. They behave and look roughly like the real ones."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets

HEADER = 24


class CtkCollapsibleButton(QtWidgets.QWidget):
    """A header that shows and hides what lies in it. As CTK's: a child that the panel hides, also while it is collapsed, stays hidden
    when it is opened."""

    contentsCollapsed = QtCore.Signal(bool)
    clicked = QtCore.Signal(bool)
    toggled = QtCore.Signal(bool)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._text, self._collapsed = "", False
        self._forcing = False
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Preferred, QtWidgets.QSizePolicy.Policy.Maximum)

    def _get_text(self) -> str:
        return self._text

    def _set_text(self, text: str) -> None:
        self._text = text
        self.update()

    def _get_collapsed(self) -> bool:
        return self._collapsed

    def _set_collapsed(self, collapsed: bool) -> None:
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        self.apply()
        self.contentsCollapsed.emit(collapsed)

    text = QtCore.Property(str, _get_text, _set_text)
    collapsed = QtCore.Property(bool, _get_collapsed, _set_collapsed)

    def apply(self) -> None:
        """Called again when the form is complete: the property is set before the children are there."""
        if self.layout() is not None:
            self.layout().setContentsMargins(8, HEADER + 6, 8, 0 if self._collapsed else 6)
        for child in self.children():
            if isinstance(child, QtWidgets.QWidget):
                self._show_child(child)
        self.updateGeometry()
        self.update()

    def _show_child(self, child: QtWidgets.QWidget) -> None:
        wanted = child.property("visibilityToParent") is not False
        self._forcing = True
        child.setVisible(wanted and not self._collapsed)
        if wanted:
            child.setAttribute(QtCore.Qt.WidgetAttribute.WA_WState_ExplicitShowHide, False)
        self._forcing = False

    def childEvent(self, event: Any) -> None:
        super().childEvent(event)
        if event.added() and event.child().isWidgetType():
            event.child().installEventFilter(self)
            if self._collapsed:
                self._show_child(event.child())

    def eventFilter(self, child: Any, event: Any) -> bool:
        if not self._forcing and event.type() in (QtCore.QEvent.Type.ShowToParent, QtCore.QEvent.Type.HideToParent):
            shown = event.type() == QtCore.QEvent.Type.ShowToParent
            child.setProperty("visibilityToParent", shown)
            if shown and self._collapsed:
                self._show_child(child)
        return False

    def mousePressEvent(self, event: Any) -> None:
        if event.position().y() < HEADER:
            self._set_collapsed(not self._collapsed)

    def paintEvent(self, event: Any) -> None:
        del event
        painter = QtGui.QPainter(self)
        box = QtCore.QRect(0, 0, self.width(), HEADER)
        painter.fillRect(box, self.palette().color(QtGui.QPalette.ColorRole.Button).darker(106))
        arrow = "▸" if self._collapsed else "▾"
        painter.drawText(box.adjusted(6, 0, 0, 0), QtCore.Qt.AlignmentFlag.AlignVCenter, f"{arrow} {self._text}")


class CtkComboBox(QtWidgets.QComboBox):
    """Shortens a text that is too long for it, where ``elideMode`` says so."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._elide = QtCore.Qt.TextElideMode.ElideNone

    def _get_elide(self) -> Any:
        return self._elide

    def _set_elide(self, mode: Any) -> None:
        self._elide = mode

    elideMode = QtCore.Property(QtCore.Qt.TextElideMode, _get_elide, _set_elide)

    def paintEvent(self, event: Any) -> None:
        del event
        option = QtWidgets.QStyleOptionComboBox()
        self.initStyleOption(option)
        painter, control = QtWidgets.QStylePainter(self), QtWidgets.QStyle.ComplexControl.CC_ComboBox
        painter.drawComplexControl(control, option)
        field = self.style().subControlRect(control, option, QtWidgets.QStyle.SubControl.SC_ComboBoxEditField, self)
        option.currentText = self.fontMetrics().elidedText(option.currentText, self._elide, field.width() - 4)
        painter.drawControl(QtWidgets.QStyle.ControlElement.CE_ComboBoxLabel, option)


class QMRMLWidget(QtWidgets.QWidget):
    mrmlSceneChanged = QtCore.Signal(object)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> Any:
        return self._scene


class QMRMLNodeComboBox(QtWidgets.QWidget):
    """Lists the scene's nodes of ``nodeTypes`` that are not hidden from editors; "None" first where that is enabled."""

    currentNodeChanged = QtCore.Signal(object)
    currentNodeIDChanged = QtCore.Signal(str)
    nodeAdded = QtCore.Signal(object)
    nodeActivated = QtCore.Signal(object)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.combo = CtkComboBox(self)
        self.combo.elideMode = QtCore.Qt.TextElideMode.ElideMiddle  # the real one does the same
        self.combo.setSizeAdjustPolicy(QtWidgets.QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.combo)
        self._scene: Any = None
        self._tags: list[int] = []
        self._current: str | None = None
        self._told: str | None = None
        self.combo.activated.connect(self._activated)

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._scene = scene
        events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent, scene.EndImportEvent)
        self._tags = [scene.AddObserver(event, lambda *_: self.refresh()) for event in events]
        self.refresh()

    def nodes(self) -> list[Any]:
        found, exact = [], self.property("showChildNodeTypes") is False
        for name in self.property("nodeTypes") or []:
            for index in range(self._scene.GetNumberOfNodesByClass(name) if self._scene is not None else 0):
                node = self._scene.GetNthNodeByClass(index, name)
                if not node.GetHideFromEditors() and (not exact or node.GetClassName() == name):
                    found.append(node)
        return found

    def nodeCount(self) -> int:
        return len(self.nodes())

    def nodeFromIndex(self, index: int) -> Any:
        return self.nodes()[index]

    def currentNode(self) -> Any:
        return self._scene.GetNodeByID(self._current) if self._scene is not None and self._current else None

    def setCurrentNode(self, node: Any) -> None:
        self.setCurrentNodeID(node.GetID() if node is not None else "")

    def setCurrentNodeID(self, node_id: str) -> None:
        self._current = node_id or None
        self.refresh()

    def refresh(self) -> None:
        nodes = self.nodes()
        ids = [node.GetID() for node in nodes]
        if self._current not in ids:
            self._current = None if self.property("noneEnabled") or not ids else ids[0]
        self.combo.clear()
        if self.property("noneEnabled"):
            self.combo.addItem(self.property("noneDisplay") or "None", "")
        for node in nodes:
            self.combo.addItem(node.GetName(), node.GetID())
        self.combo.setCurrentIndex(self.combo.findData(self._current or ""))
        if self._current != self._told:
            self._told = self._current
            self.currentNodeChanged.emit(self.currentNode())
            self.currentNodeIDChanged.emit(self._current or "")

    def _activated(self, index: int) -> None:
        self.setCurrentNodeID(self.combo.itemData(index))
        self.nodeActivated.emit(self.currentNode())


class QMRMLSegmentationShow3DButton(QtWidgets.QPushButton):
    def __init__(self, parent: Any = None) -> None:
        super().__init__("Show 3D", parent)
        self._node: Any = None
        self.setEnabled(False)

    def segmentationNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        assert node is None or node.IsA("vtkMRMLSegmentationNode")
        self._node = node
        self.setEnabled(node is not None)


class QMRMLSegmentEditorWidget(QMRMLWidget):
    """A list of the segments and dead buttons for the effects. ``calls``: what the panel told it, for the tests."""

    currentSegmentIDChanged = QtCore.Signal(str)
    segmentationNodeChanged = QtCore.Signal(object)
    EFFECTS = (
        "Threshold",
        "Paint",
        "Erase",
        "Grow from seeds",
        "Smoothing",
        "Islands",
        "Scissors",
        "Logical operators",
    )

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.calls: list[str] = []
        self._nodes: dict[str, Any] = {"editor": None, "segmentation": None, "volume": None}
        self.history = slicer.vtkSegmentationHistory()
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        actions = QtWidgets.QHBoxLayout()
        for name, text in (("AddSegmentButton", "Add"), ("RemoveSegmentButton", "Remove"), ("Show3DButton", "Show 3D")):
            actions.addWidget(QtWidgets.QPushButton(text, objectName=name))
        layout.addLayout(actions)
        frame = QtWidgets.QWidget(objectName="SegmentsTableResizableFrame")
        QtWidgets.QVBoxLayout(frame).setContentsMargins(0, 0, 0, 0)
        self.table = QtWidgets.QTableWidget(0, 2, objectName="SegmentsTableView")
        self.table.horizontalHeader().hide()
        self.table.verticalHeader().hide()
        self.table.setMaximumHeight(190)
        frame.layout().addWidget(self.table)
        layout.addWidget(frame)
        grid = QtWidgets.QGridLayout()
        for index, name in enumerate(self.EFFECTS):
            grid.addWidget(QtWidgets.QToolButton(text=name, sizePolicy=QtWidgets.QSizePolicy(
                QtWidgets.QSizePolicy.Policy.Ignored, QtWidgets.QSizePolicy.Policy.Fixed)), index // 2, index % 2)  # fmt: skip
        layout.addLayout(grid)

    def setMRMLSegmentEditorNode(self, node: Any) -> None:
        assert node is None or node.IsA("vtkMRMLSegmentEditorNode")
        self._nodes["editor"] = node

    def mrmlSegmentEditorNode(self) -> Any:
        return self._nodes["editor"]

    def segmentationNode(self) -> Any:
        return self._nodes["segmentation"]

    def sourceVolumeNode(self) -> Any:
        return self._nodes["volume"]

    def setSourceVolumeNode(self, node: Any) -> None:
        assert node is None or node.IsA("vtkMRMLScalarVolumeNode")
        self._nodes["volume"] = node

    def setSegmentationNode(self, node: Any) -> None:
        assert self._nodes["editor"] is not None or node is None, "the real editor shows nothing without its node"
        self._nodes["segmentation"] = node
        segmentation = node.GetSegmentation() if node is not None else None
        count = segmentation.GetNumberOfSegments() if segmentation is not None else 0
        self.table.setRowCount(count)
        for row in range(count):
            segment = segmentation.GetNthSegment(row)
            swatch = QtWidgets.QTableWidgetItem()
            swatch.setBackground(QtGui.QColor.fromRgbF(*segment.GetColor()))
            self.table.setItem(row, 0, swatch)
            self.table.setItem(row, 1, QtWidgets.QTableWidgetItem(segment.GetName()))
        self.table.setColumnWidth(0, 28)
        self.table.horizontalHeader().setStretchLastSection(True)

    def setActiveEffect(self, effect: Any) -> None:
        assert effect is None
        if self._nodes["editor"] is not None:
            self._nodes["editor"].SetActiveEffectName("")

    def setActiveEffectByName(self, name: str) -> None:
        self._nodes["editor"].SetActiveEffectName(name)

    def setEffectNameOrder(self, names: list[str]) -> None:
        self.effect_order = list(names)

    def select_by_person(self, segment_id: str) -> None:
        """What a click in the editor's own list, or its keys Q and W, do."""
        self.setCurrentSegmentID(segment_id)

    def setCurrentSegmentID(self, segment_id: str) -> None:
        node = self._nodes["segmentation"]
        assert node is not None, "the real editor has no segment without its segmentation"
        assert node.GetSegmentation().GetSegment(segment_id) is not None, segment_id
        self._nodes["editor"].SetSelectedSegmentID(segment_id)
        self.currentSegmentIDChanged.emit(segment_id)

    def currentSegmentID(self) -> str:
        return str(self._nodes["editor"].GetSelectedSegmentID() or "")

    def saveStateForUndo(self) -> None:
        """Slicer's own history, which the real editor uses too."""
        if self.history.GetSegmentation() is not self._nodes["segmentation"].GetSegmentation():
            self.history.SetSegmentation(self._nodes["segmentation"].GetSegmentation())
        assert self.history.SaveState()

    def undo(self) -> None:
        assert self.history.RestorePreviousState()

    def __getattr__(self, name: str) -> Any:
        """The slots that only change how the real editor behaves."""
        if name in (
            "setupViewObservations",
            "removeViewObservations",
            "installKeyboardShortcuts",
            "uninstallKeyboardShortcuts",
        ) or (name.startswith("set") and name.endswith(("Visible", "UndoStates"))):
            return lambda *_: self.calls.append(name)
        raise AttributeError(name)


class SliceWidget(QtWidgets.QWidget):
    """One slice view, which can have the keyboard's focus."""


class LayoutManager(QtCore.QObject):
    """slicer.app.layoutManager() with three slice views."""

    layoutChanged = QtCore.Signal(int)

    def __init__(self, names: tuple[str, ...] = ("Red", "Yellow", "Green")) -> None:
        super().__init__()
        self.widgets = {name: SliceWidget() for name in names}

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(self.widgets)

    def sliceWidget(self, name: str) -> SliceWidget:
        return self.widgets[name]

    def mrmlSliceLogics(self) -> Any:
        return vtk.vtkCollection()


WIDGETS = {
    "qMRMLLayoutManager": LayoutManager,
    "qMRMLSliceWidget": SliceWidget,
    "ctkComboBox": CtkComboBox,
    "ctkCollapsibleButton": CtkCollapsibleButton,
    "ctkMenuButton": QtWidgets.QPushButton,
    "qMRMLWidget": QMRMLWidget,
    "qMRMLNodeComboBox": QMRMLNodeComboBox,
    "qMRMLSegmentationShow3DButton": QMRMLSegmentationShow3DButton,
    "qMRMLSegmentEditorWidget": QMRMLSegmentEditorWidget,
}
MODIFIED = vtk.vtkCommand.ModifiedEvent
