"""What the panel may use of Slicer's and Qt's widgets: everything else raises in ``stand_ins``.

Taken from the documentation of the real classes, which hold for Qt 5.15 and 6: doc.qt.io (QWidget, QAbstractButton, QLabel, QComboBox,
QListWidget, QListWidgetItem, QTableWidget, QTableWidgetItem,
QHeaderView, QClipboard, QLineEdit, QShortcut, QProgressBar, QSpinBox, QTimer, QLayout), CTK's ctkCollapsibleButton.h, and Slicer's qMRMLWidget.h,
qMRMLNodeComboBox.h, qMRMLSegmentEditorWidget.h, qMRMLSegmentationShow3DButton.h, qSlicerCoreApplication.h.

As in PythonQt, a Qt property is an attribute and not a method: ``label.text``, never ``label.text()``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Allowed:
    """Of one class; what its parents allow is allowed too. ``signals`` have their arguments' types."""

    parents: tuple[str, ...] = ()
    properties: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()


ALLOWED = {
    "QObject": Allowed(properties=("objectName",), methods=("property", "setProperty", "deleteLater", "blockSignals", "findChild", "children", "setParent"), signals=("destroyed(QObject*)",)),
    "QWidget": Allowed(
        ("QObject",),
        ("enabled", "visible", "toolTip", "minimumSizeHint", "sizeHint", "width", "height", "focus", "minimumHeight", "maximumHeight"),
        ("setEnabled", "setVisible", "setToolTip", "show", "hide", "layout", "setFocus", "update", "setFixedHeight"),
    ),
    "QLabel": Allowed(("QWidget",), ("text", "wordWrap"), ("setText", "clear")),
    "QAbstractButton": Allowed(
        ("QWidget",),
        ("text", "checkable", "checked"),
        ("setText", "setChecked", "click", "toggle"),
        ("clicked(bool)", "toggled(bool)", "pressed()", "released()"),
    ),
    "QPushButton": Allowed(("QAbstractButton",), ("default", "flat")),
    "QCheckBox": Allowed(("QAbstractButton",), ("tristate",), (), ("stateChanged(int)",)),
    "QComboBox": Allowed(
        ("QWidget",),
        ("count", "currentIndex", "currentText"),
        ("addItem", "clear", "setCurrentIndex", "itemText", "findText"),
        ("currentIndexChanged(int)", "activated(int)"),
    ),
    "ctkComboBox": Allowed(("QComboBox",), ("elideMode", "defaultText", "forceDefault")),
    "QListWidget": Allowed(
        ("QWidget",),
        ("count", "currentRow"),
        ("addItem", "clear", "item"),
        ("itemChanged(QListWidgetItem*)", "currentRowChanged(int)"),
    ),
    "QListWidgetItem": Allowed((), (), ("text", "setText", "setToolTip", "toolTip", "checkState", "setCheckState", "data", "setData")),
    "QTableWidget": Allowed(
        ("QWidget",),
        ("rowCount", "columnCount"),
        (
            "setRowCount", "setColumnCount", "setItem", "item", "currentRow", "selectRow", "clearSelection", "horizontalHeader",
            "verticalHeader", "setHorizontalHeaderLabels", "rowHeight", "selectedItems", "viewport",
        ),
        ("itemSelectionChanged()", "cellClicked(int,int)"),
    ),
    "QTableWidgetItem": Allowed((), (), ("text", "setText", "setToolTip", "toolTip", "setTextAlignment", "setIcon")),
    "QHeaderView": Allowed(
        ("QWidget",), (), ("setSectionResizeMode", "setHighlightSections", "setDefaultSectionSize", "setMinimumSectionSize", "length")
    ),
    "QScrollBar": Allowed(("QWidget",), ("value", "minimum", "maximum"), ("setValue",)),
    "QScrollArea": Allowed(("QWidget",), ("widgetResizable",), ("horizontalScrollBar", "verticalScrollBar", "ensureWidgetVisible")),
    "QFrame": Allowed(("QWidget",), ("frameShape", "lineWidth")),
    "QLineEdit": Allowed(("QWidget",), ("text", "placeholderText"), ("setText", "clear"), ("textChanged(QString)", "editingFinished()")),
    "QShortcut": Allowed(("QObject",), ("enabled", "autoRepeat", "key"), ("setContext", "setEnabled"), ("activated()",)),
    "QProgressBar": Allowed(("QWidget",), ("value", "minimum", "maximum"), ("setValue", "setRange", "reset")),
    "QSpinBox": Allowed(("QWidget",), ("value", "minimum", "maximum"), ("setValue",), ("valueChanged(int)",)),
    "QTimer": Allowed(
        ("QObject",), ("active", "interval", "singleShot"), ("start", "stop", "setInterval", "setSingleShot"), ("timeout()",)
    ),
    "QLayout": Allowed(("QObject",), (), ("addWidget", "addStretch", "count", "itemAt")),
    "ctkCollapsibleButton": Allowed(("QAbstractButton",), ("collapsed",), (), ("contentsCollapsed(bool)",)),
    "qMRMLWidget": Allowed(("QWidget",), (), ("mrmlScene", "setMRMLScene"), ("mrmlSceneChanged(vtkMRMLScene*)",)),
    "qMRMLNodeComboBox": Allowed(
        ("QWidget",),
        (
            "currentNodeID", "nodeTypes", "showHidden", "showChildNodeTypes", "baseName", "noneEnabled", "addEnabled", "removeEnabled",
            "editEnabled", "renameEnabled", "selectNodeUponCreation", "noneDisplay",
        ),
        ("mrmlScene", "setMRMLScene", "currentNode", "setCurrentNode", "setCurrentNodeID", "nodeCount", "nodeFromIndex", "addNode"),
        ("currentNodeChanged(vtkMRMLNode*)", "currentNodeIDChanged(QString)", "nodeAdded(vtkMRMLNode*)", "nodeActivated(vtkMRMLNode*)"),
    ),
    "qMRMLSegmentationShow3DButton": Allowed(("QPushButton",), ("locked",), ("segmentationNode", "setSegmentationNode")),
    "qMRMLSegmentEditorWidget": Allowed(
        ("qMRMLWidget",),
        (
            "segmentationNodeSelectorVisible", "sourceVolumeNodeSelectorVisible", "switchToSegmentationsButtonVisible", "undoEnabled",
            "maximumNumberOfUndoStates", "readOnly", "effectColumnCount", "unorderedEffectsVisible",
        ),
        (
            "setMRMLSegmentEditorNode", "mrmlSegmentEditorNode", "setSegmentationNode", "segmentationNode", "setSourceVolumeNode",
            "sourceVolumeNode", "setActiveEffect", "setupViewObservations", "removeViewObservations", "installKeyboardShortcuts",
            "uninstallKeyboardShortcuts", "setSegmentationNodeSelectorVisible", "setSourceVolumeNodeSelectorVisible",
            "setSwitchToSegmentationsButtonVisible", "setMaximumNumberOfUndoStates", "updateWidgetFromMRML", "setCurrentSegmentID",
            "currentSegmentID", "saveStateForUndo", "undo", "setEffectNameOrder", "setActiveEffectByName", "activeEffect",
        ),
        ("currentSegmentIDChanged(QString)", "segmentationNodeChanged(vtkMRMLSegmentationNode*)"),
    ),
    "qMRMLLayoutManager": Allowed(
        ("QObject",), ("threeDViewCount",), ("sliceViewNames", "sliceWidget", "mrmlSliceLogics", "threeDWidget"), ("layoutChanged(int)",)
    ),
    "qMRMLSliceWidget": Allowed(("QWidget",), (), ("sliceView", "sliceController", "sliceLogic", "mrmlSliceNode")),
    "QClipboard": Allowed(("QObject",), (), ("text", "setText")),
    "qSlicerApplication": Allowed(
        ("QObject",),
        ("applicationName", "applicationVersion", "temporaryPath"),
        ("processEvents", "setOverrideCursor", "restoreOverrideCursor", "testingEnabled", "layoutManager", "clipboard"),
        ("startupCompleted()",),
    ),
}  # fmt: skip


def allowed(name: str, kind: str) -> set[str]:
    """``kind``: "properties", "methods" or "signals" of a class and its parents."""
    entry = ALLOWED[name]
    found = set(getattr(entry, kind))
    for parent in entry.parents:
        found |= allowed(parent, kind)
    return found
