"""Stand-ins for the parts of Slicer's Python that the slicer-core package lacks: i18n, parameterNodeWrapper, ScriptedLoadableModule."""

from __future__ import annotations

import importlib
import sys
import types
import typing
import unittest
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer
import vtk

CONNECTORS = {  # slicer.parameterNodeWrapper.guiConnectors: which signal, and how the value is read
    "qMRMLNodeComboBox": ("currentNodeChanged(vtkMRMLNode*)", lambda widget: widget.currentNode()),
    "QCheckBox": ("stateChanged(int)", lambda widget: widget.checked),
    "QSpinBox": ("valueChanged(int)", lambda widget: widget.value),
}


@dataclass(frozen=True)
class WithinRange:
    minimum: float
    maximum: float


def parameterNodeWrapper(kind: type) -> type:
    """A typed view on a vtkMRMLScriptedModuleNode, bound to widgets by their SlicerParameterName."""
    hints = typing.get_type_hints(kind, include_extras=True)
    plain = {
        name: typing.get_args(t)[0] if typing.get_origin(t) is typing.Annotated else t for name, t in hints.items()
    }
    reserved = {
        "default",
        "getValue",
        "setValue",
        "connectGui",
        "connectParametersToGui",
        "isCached",
        "dataType",
        "allParameters",
        "StartModify",
        "EndModify",
        "disconnectGui",
        "AddObserver",
        "RemoveObserver",
        "Modified",
    }
    assert not reserved & set(hints)
    wrapped = type(
        kind.__name__, (_Wrapper,), {"_types": plain, "_defaults": {n: getattr(kind, n, None) for n in hints}}
    )
    for name in hints:
        setattr(
            wrapped,
            name,
            property(lambda self, n=name: self._read(n), lambda self, value, n=name: self._write(n, value)),
        )
    return wrapped


class _Wrapper:
    _types: dict[str, type]
    _defaults: dict[str, Any]

    def __init__(self, node: Any) -> None:
        self.parameterNode = node
        self._guis: dict[int, Any] = {}
        self._next_tag = 0
        self._updating = False
        node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._to_gui())

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        return int(self.parameterNode.AddObserver(event, callback, priority))

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def _is_node(self, name: str) -> bool:
        return issubclass(self._types[name], slicer.vtkMRMLNode)

    def _read(self, name: str) -> Any:
        if self._is_node(name):
            return self.parameterNode.GetNodeReference(name)
        text, kind = self.parameterNode.GetParameter(name), self._types[name]
        if not text and kind is not str:
            return self._defaults[name]
        if kind is bool:
            return text == "True"
        return kind(text) if self.parameterNode.HasParameter(name) else self._defaults[name]

    def _write(self, name: str, value: Any) -> None:
        if self._is_node(name):
            assert value is None or isinstance(value, self._types[name]), f"{name} = {value!r}"
            self.parameterNode.SetNodeReferenceID(name, value.GetID() if value is not None else None)
        else:
            assert type(value) is self._types[name], f"{name} = {value!r}: the real wrapper refuses another type"
            self.parameterNode.SetParameter(name, str(value))

    def connectGui(self, ui: Any) -> None:
        """As Slicer's, which forgets to hand back the tag: what it connects cannot be let go of."""
        self.connectParametersToGui({name: w for w in vars(ui).values() if (name := w.property("SlicerParameterName"))})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        assert set(mapping) <= set(self._types), f"{set(mapping) - set(self._types)} are no parameters"
        tag = self._next_tag
        self._next_tag += 1
        self._guis[tag] = dict(mapping)
        self._to_gui()
        for name, widget in mapping.items():
            signal, read = CONNECTORS[widget._name]
            widget.connect(signal, lambda *_, n=name, t=tag, w=widget, r=read: self._from_gui(t, n, r(w)))
        return tag

    def disconnectGui(self, tag: int) -> None:
        self._guis.pop(tag, None)

    def _from_gui(self, tag: int, name: str, value: Any) -> None:
        if tag in self._guis and not self._updating:
            modifying = self.parameterNode.StartModify()
            try:
                self._write(name, value)
            finally:
                self.parameterNode.EndModify(modifying)

    def _to_gui(self) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            for bound in list(self._guis.values()):
                for name, widget in bound.items():
                    value = self._read(name)
                    if self._is_node(name):
                        widget.setCurrentNode(value)
                    elif self._types[name] is bool:
                        widget.checked = value
                    else:
                        widget.value = value
        finally:
            self._updating = False


class ScriptedLoadableModule:
    def __init__(self, parent: Any) -> None:
        self.parent = parent


class ScriptedLoadableModuleWidget:
    """``parent``: has ``layout()`` and ``isEntered``."""

    module_folder: Path

    def __init__(self, parent: Any = None) -> None:
        self.parent, self.layout = parent, parent.layout()
        self.reloads = 0

    def setup(self) -> None:
        return None

    def resourcePath(self, name: str) -> str:
        return str(self.module_folder / "Resources" / name)

    def onReload(self) -> Any:
        """As slicer.util.reloadScriptedModule: read the file anew, clean the old widget up, make a new one in its place."""
        name = "FocusNetSegmentation"
        del sys.modules[name]
        module = importlib.import_module(name)
        self.parent.hide_children()  # and no more: what a module does not delete stays
        self.cleanup()  # type: ignore[attr-defined]
        fresh = module.FocusNetSegmentationWidget(self.parent)
        fresh.setup()
        slicer.modules.FocusNetSegmentationWidget = fresh


class ScriptedLoadableModuleLogic:
    def getParameterNode(self) -> Any:
        """The scene's one node of this module."""
        name, scene = "FocusNetSegmentation", slicer.mrmlScene
        node = scene.GetSingletonNode(name, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = scene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
            node.UnRegister(None)
            node.SetSingletonTag(name)
            node.SetAttribute("ModuleName", name)
            node.SetName(name)
            node = scene.AddNode(node)
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    def delayDisplay(self, message: str) -> None:
        print(message)


def put_in_place(target: Any, new_module: Callable[[str], types.ModuleType], module_folder: Path) -> None:
    """Make the modules that ``import slicer.i18n`` and the like find."""
    i18n = new_module("slicer.i18n")
    i18n.tr = lambda text: text  # type: ignore[attr-defined]
    i18n.translate = lambda context, text: text  # type: ignore[attr-defined]
    target.i18n = i18n
    wrapper = new_module("slicer.parameterNodeWrapper")
    wrapper.parameterNodeWrapper, wrapper.WithinRange = parameterNodeWrapper, WithinRange  # type: ignore[attr-defined]
    scripted = new_module("slicer.ScriptedLoadableModule")
    ScriptedLoadableModuleWidget.module_folder = module_folder
    for kind in (
        ScriptedLoadableModule,
        ScriptedLoadableModuleWidget,
        ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest,
    ):
        setattr(scripted, kind.__name__, kind)
    if target.mrmlScene.GetTagByClassName("vtkMRMLScriptedModuleNode") is None:
        target.mrmlScene.RegisterNodeClass(target.vtkMRMLScriptedModuleNode())
