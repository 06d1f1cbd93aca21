"""Slicer's Python as the panel sees it, on PySide6 and a live slicer-core scene: ``with StandIns() as stand_ins: ...``.

Nothing here is Slicer: these are stand-ins, and tests on them are called "panel on stand-ins". The panel gets proxies that behave as
PythonQt's objects do (properties are attributes, ``connect("clicked(bool)", f)``) and raise on everything that ``stand_ins_allowed``
does not list.
"""

from __future__ import annotations

import importlib.machinery
import inspect
import sys
import types
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

from ..paths import MODULE
from . import stand_ins_slicer
from .stand_ins_allowed import ALLOWED, allowed
from .stand_ins_widgets import WIDGETS, CtkCollapsibleButton, LayoutManager

OURS = ("FocusNetSegmentation", "FocusNetSegmentationLib")
DIALOGS = ("errorDisplay", "infoDisplay", "confirmOkCancelDisplay", "confirmYesNoDisplay")


class NotAllowedError(AttributeError):
    """The real widget has no such thing, as far as the allow-list knows."""


class Proxy:
    """One object of Qt's as PythonQt shows it."""

    def __init__(self, target: Any, name: str) -> None:
        object.__setattr__(self, "_target", target)
        object.__setattr__(self, "_name", name)

    def __getattr__(self, attribute: str) -> Any:
        target, name = self._target, self._name
        if attribute in allowed(name, "properties"):
            return wrap(target.property(attribute))
        if attribute == "connect":
            return self._connect
        if attribute == "disconnect":
            return self._disconnect
        if attribute == "className":  # PythonQt adds it to every object
            return lambda: name
        if attribute in allowed(name, "methods"):
            method = getattr(target, attribute)
            return lambda *args: wrap(method(*map(unwrap, args)))
        raise NotAllowedError(f"{name} has no attribute {attribute!r} in the allow-list")

    def __setattr__(self, attribute: str, value: Any) -> None:
        if attribute not in allowed(self._name, "properties"):
            raise NotAllowedError(f"{self._name} has no property {attribute!r} in the allow-list")
        if isinstance(value, bool) is not isinstance(self._target.property(attribute), bool):
            raise TypeError(f"{self._name}.{attribute} = {value!r}: PythonQt refuses another type")
        self._target.setProperty(attribute, unwrap(value))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Proxy) and other._target is self._target

    def __hash__(self) -> int:
        return id(self._target)

    def _connect(self, signature: str, slot: Callable[..., Any]) -> None:
        if signature not in allowed(self._name, "signals"):
            raise NotAllowedError(f"{self._name} has no signal {signature!r} in the allow-list")
        arguments = signature.partition("(")[2].rstrip(")")
        count = len(arguments.split(",")) if arguments else 0
        inspect.signature(slot).bind(*([None] * count))  # raises if the slot cannot take what the signal gives

        def call(*values: Any) -> None:
            slot(*map(wrap, values[:count]))

        getattr(self._target, signature.partition("(")[0]).connect(call)
        if isinstance(self._target, LayoutManager):  # everything else goes with its widget
            CONNECTIONS.setdefault((id(self._target), signature), []).append((slot, call))

    def _disconnect(self, signature: str, slot: Callable[..., Any]) -> None:
        made = CONNECTIONS[id(self._target), signature]
        known = next(pair for pair in made if pair[0] == slot)
        made.remove(known)
        getattr(self._target, signature.partition("(")[0]).disconnect(known[1])


CONNECTIONS: dict[tuple[int, str], list[tuple[Any, Any]]] = {}  # of those that may be let go of


def wrap(value: Any) -> Any:
    """A proxy for what is Qt's, by the first of its classes that the allow-list knows; anything else as it is."""
    if isinstance(value, list):
        return [wrap(one) for one in value]
    if not isinstance(value, (QtCore.QObject, QtWidgets.QListWidgetItem, QtWidgets.QTableWidgetItem)):
        return value
    names = {widget: name for name, widget in WIDGETS.items()}
    for kind in type(value).__mro__:
        name = names.get(kind, kind.__name__)
        if name in ALLOWED:
            return Proxy(value, name)
    raise NotAllowedError(f"{type(value).__name__} is in no allow-list")


def unwrap(value: Any) -> Any:
    return value._target if isinstance(value, Proxy) else value


def proxied(kind: type) -> Callable[..., Proxy]:
    return lambda *args: wrap(kind(*map(unwrap, args)))


class Application(QtCore.QObject):
    """slicer.app. ``exceptions``: what a slot raised, which Qt swallows."""

    startupCompleted = QtCore.Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("applicationName", "Slicer")
        self.cursors = 0
        self.layout_manager: LayoutManager | None = None  # as in Slicer without its main window

    def processEvents(self, *_: Any) -> None:
        QtWidgets.QApplication.processEvents()

    def setOverrideCursor(self, cursor: Any) -> None:
        del cursor
        self.cursors += 1

    def restoreOverrideCursor(self) -> None:
        self.cursors -= 1

    def testingEnabled(self) -> bool:
        return False

    def clipboard(self) -> Any:
        return QtWidgets.QApplication.clipboard()

    def layoutManager(self) -> Any:
        return wrap(self.layout_manager)


class Loader(QtUiTools.QUiLoader):
    def __init__(self) -> None:
        super().__init__()
        self.made: list[QtWidgets.QWidget] = []  # keeps PySide's Python objects alive

    def createWidget(self, class_name: str, parent: Any = None, name: str = "") -> QtWidgets.QWidget:
        kind = WIDGETS.get(class_name)
        widget = kind(parent) if kind is not None else super().createWidget(class_name, parent, name)
        widget.setObjectName(name)
        self.made.append(widget)
        return widget


class FileDialog:
    """``answers``: what the user picks, in order. As in PythonQt, the answer is one text."""

    answers: list[str] = []  # noqa: RUF012 - shared on purpose

    @classmethod
    def getOpenFileName(cls, parent: Any, caption: str, folder: str, pattern: str) -> str:
        return cls.answers.pop(0)

    getSaveFileName = getOpenFileName

    @classmethod
    def getExistingDirectory(cls, parent: Any, caption: str) -> str:
        return cls.answers.pop(0)


class Settings:
    """qt.QSettings: Slicer's own settings, here in memory."""

    kept: dict[str, Any] = {}  # noqa: RUF012 - shared on purpose

    def value(self, key: str, default: Any = None) -> Any:
        return self.kept.get(key, default)

    def setValue(self, key: str, value: Any) -> None:
        self.kept[key] = value


class MessageBox:
    """qt.QMessageBox. ``shown``: (title, text, buttons) of every box; ``answers``: which button is pressed (None: Cancel), in order."""

    AcceptRole, Cancel = 0, 0x00400000
    shown: list[tuple[str, str, list[str]]] = []  # noqa: RUF012 - shared on purpose
    answers: list[int | None] = []  # noqa: RUF012

    def __init__(self, parent: Any) -> None:
        self.windowTitle = self.text = ""
        self._buttons: list[str] = []
        self._default: str | None = None
        self._clicked: str | None = None

    def addButton(self, text: Any, role: int | None = None) -> str | None:
        if role is None:
            assert text == self.Cancel
            return None
        self._buttons.append(text)
        return str(text)

    def setDefaultButton(self, button: str) -> None:
        self._default = button

    def exec(self) -> None:
        self.shown.append((self.windowTitle, self.text, self._buttons))
        answer = self.answers.pop(0) if self.answers else self._buttons.index(str(self._default))
        self._clicked = None if answer is None else self._buttons[answer]

    def clickedButton(self) -> str | None:
        return self._clicked

    def deleteLater(self) -> None:
        pass


class StandIns:
    """Puts the stand-ins in place and takes them away again. ``dialogs``: (function, text, keywords) of every message shown, answered by
    ``answers`` in order, True where there is none. ``views``: what was shown in the slice views."""

    def __init__(self, dicom: bool = True) -> None:
        self.dicom = dicom
        self.dialogs: list[tuple[str, str, dict[str, Any]]] = []
        self.answers: list[bool] = []
        self.modules: list[str] = []
        self.exceptions: list[BaseException] = []

    def __enter__(self) -> StandIns:
        import slicer

        self.slicer = slicer
        self.scene = slicer.vtkMRMLScene()
        self.segmentations_logic = slicer.vtkSlicerSegmentationsModuleLogic()  # registers how surfaces are made
        self.segmentations_logic.SetMRMLScene(self.scene)
        self.scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())  # the application's colour logic does that
        self.application = QtWidgets.QApplication.instance() or QtWidgets.QApplication([])
        self.application.setStyle("Fusion")
        self.app = Application()
        self.file_dialog, self.settings, self.message_box = FileDialog, Settings, MessageBox
        Settings.kept, MessageBox.shown, MessageBox.answers = {}, [], []
        self.file_dialog.answers = []
        self._saved_modules = dict(sys.modules)
        self._saved = {
            name: slicer.__dict__.get(name, self)
            for name in ("app", "mrmlScene", "modules", "qMRMLSegmentEditorWidget", "i18n")
        }
        self._saved_util = dict(vars(slicer.util))
        self._saved_hook, sys.excepthook = sys.excepthook, lambda kind, value, trace: self.exceptions.append(value)
        self._forget_ours()
        sys.path.insert(0, str(MODULE))
        self._put_in_place()
        return self

    def __exit__(self, *_: object) -> None:
        sys.path.remove(str(MODULE))
        sys.excepthook = self._saved_hook
        vars(self.slicer.util).update(self._saved_util)
        for name, value in self._saved.items():
            if value is self:
                self.slicer.__dict__.pop(name, None)
            else:
                setattr(self.slicer, name, value)
        self._forget_ours()
        for name in [n for n in sys.modules if n in ("qt", "ctk") or n.startswith("slicer.")]:
            if name not in self._saved_modules:
                del sys.modules[name]
        sys.modules.update({n: m for n, m in self._saved_modules.items() if n.partition(".")[0] in OURS})
        self.scene.Clear(1)

    def _forget_ours(self) -> None:
        for name in [n for n in sys.modules if n.partition(".")[0] in OURS]:
            del sys.modules[name]

    def _put_in_place(self) -> None:
        slicer, qt = self.slicer, _module("qt")
        for name, home in (
            ("QTimer", QtCore),
            ("QListWidgetItem", QtWidgets),
            ("QTableWidgetItem", QtWidgets),
            ("QShortcut", QtGui),  # with Qt 5 in QtWidgets; PythonQt has one name for both
            ("QKeySequence", QtGui),
        ):
            setattr(qt, name, proxied(getattr(home, name)))
        qt.QHeaderView, qt.QWidget = QtWidgets.QHeaderView, QtWidgets.QWidget
        qt.QPixmap, qt.QIcon, qt.QColor = QtGui.QPixmap, QtGui.QIcon, QtGui.QColor
        qt.QSettings, qt.QMessageBox = Settings, MessageBox
        qt.Qt, qt.QFileDialog = QtCore.Qt, FileDialog
        qt.QProcess, qt.QProcessEnvironment = (
            QtCore.QProcess,
            QtCore.QProcessEnvironment,
        )  # the worker's own tests cover these
        slicer.app = Proxy(self.app, "qSlicerApplication")
        slicer.mrmlScene = self.scene
        slicer.modules = types.SimpleNamespace(**({"dicom": object()} if self.dicom else {}))
        slicer.qMRMLSegmentEditorWidget = proxied(WIDGETS["qMRMLSegmentEditorWidget"])
        slicer.util.loadUI = self.load_ui
        slicer.util.childWidgetVariables = self.child_widgets
        slicer.util.mainWindow = lambda: None
        slicer.util.selectModule = self.modules.append
        slicer.util.openAddVolumeDialog = lambda: self.modules.append("openAddVolumeDialog")
        for name in DIALOGS:
            setattr(slicer.util, name, self._dialog(name, self._saved_util[name]))
        stand_ins_slicer.put_in_place(slicer, _module, MODULE)

    def _dialog(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        """Records the message; the call must fit the real function of this Slicer version."""

        def show(*args: Any, **kwargs: Any) -> bool:
            known = inspect.signature(real).bind(*args, **kwargs).arguments
            self.dialogs.append((name, str(known["text"]), {**known, **known.get("kwargs", {})}))
            return self.answers.pop(0) if self.answers else True

        return show

    def load_ui(self, path: str) -> Proxy:
        """The form, its connections checked against the allow-list and made here: Qt's loader knows no signal of a Python class."""
        tree = ElementTree.parse(path)
        connections = tree.getroot().find("connections")
        assert connections is not None
        wanted = [tuple(c.findtext(k) or "" for k in ("sender", "signal", "receiver", "slot")) for c in connections]
        connections.clear()
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(tree.getroot()))
        self.loader = Loader()
        self.form = self.loader.load(buffer)
        assert self.form is not None, self.loader.errorString()
        by_name = {w.objectName(): w for w in self.loader.made}
        for sender, signal, receiver, slot in wanted:
            target, method = wrap(by_name[receiver]), slot.partition("(")[0]
            wrap(by_name[sender]).connect(signal, lambda value, t=target, m=method: getattr(t, m)(value))
        for widget in self.loader.made:
            if isinstance(widget, CtkCollapsibleButton):
                widget.apply()
        return wrap(self.form)  # type: ignore[no-any-return]

    def child_widgets(self, widget: Proxy) -> types.SimpleNamespace:
        return types.SimpleNamespace(
            **{w.objectName(): wrap(w) for w in self.loader.made if w is not widget._target and w.objectName()}
        )


def _module(name: str) -> types.ModuleType:
    """A new module that ``import`` and ``find_spec`` find."""
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    sys.modules[name] = module
    return module
