"""What the Extensions Manager installs: every file is listed for packaging, and the catalogue entry keeps the catalogue's rules."""

from __future__ import annotations

import ast
import json
import re
import struct
from pathlib import Path
from xml.etree import ElementTree

import pytest

from focusnet.wording import CHECK_CONTOURS, DISCLAIMER

from ..paths import MODULE, ROOT
from .helpers_packaging import CMAKE, files_on_disk, listed

# slicer-extension-catalog-entry-schema-v1.0.2.json: required keys, types, and additionalProperties false
SCHEMA = (
    "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/slicer-extension-catalog-entry-schema-v1.0.2.json#"
)
REQUIRED = {"$schema", "category", "scm_url"}
TYPES = {
    "$schema": str,
    "category": str,
    "scm_url": str,
    "scm_revision": str,
    "scm_type": str,
    "build_dependencies": list,
    "dicom_support_rule": str,
    "build_subdirectory": str,
    "enabled": bool,
    "tier": int,
}


@pytest.mark.parametrize("name", ["MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES"])
def test_every_file_of_the_module_is_packaged(name: str) -> None:
    """A script that is not listed works from the source folder and is missing for everyone who installs the extension."""
    there, packaged = files_on_disk()[name], listed()[name]
    add = [f"  {path}" for path in there if path not in packaged]
    remove = [f"  {path}" for path in packaged if path not in there]
    lines = [
        f"{CMAKE.relative_to(ROOT)}, set({name} ...), is not what is on disk. Run `python -m Testing.Slicer.helpers_packaging`, or",
        *(["add:", *add] if add else []),
        *(["remove:", *remove] if remove else []),
    ]
    assert len(lines) == 1, "\n".join(lines)
    assert len(packaged) == len(set(packaged)), "a file is listed twice"


def test_the_catalogue_entry_keeps_the_schemas_rules() -> None:
    entry = json.loads((ROOT / "FocusNetSegmentation.json").read_text(encoding="utf-8"))
    assert entry["$schema"] == SCHEMA
    assert set(entry) >= REQUIRED
    assert set(entry) <= set(TYPES), f"the schema has no {set(entry) - set(TYPES)}"
    for key, value in entry.items():
        assert type(value) is TYPES[key], f"{key} is a {type(value).__name__}"
    assert entry["scm_type"] in ("git", "local")
    assert 1 <= entry["tier"] <= 5
    assert all(isinstance(name, str) for name in entry["build_dependencies"])
    assert entry["category"] == "Segmentation"


def test_the_entry_and_cmake_name_the_same_extensions() -> None:
    """An extension that is needed at run time must also be there when this one is built."""
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    entry = json.loads((ROOT / "FocusNetSegmentation.json").read_text(encoding="utf-8"))
    values = dict(re.findall(r'set\((EXTENSION_\w+) "([^"]*)"\)', text))
    assert values["EXTENSION_DEPENDS"].split() == entry["build_dependencies"]
    assert values["EXTENSION_HOMEPAGE"] == entry["scm_url"]
    assert set(values) == {
        "EXTENSION_HOMEPAGE", "EXTENSION_CONTRIBUTORS", "EXTENSION_DESCRIPTION", "EXTENSION_ICONURL",
        "EXTENSION_SCREENSHOTURLS", "EXTENSION_DEPENDS", "EXTENSION_RECOMMENDS",
    }  # fmt: skip
    for url in [values["EXTENSION_ICONURL"], *values["EXTENSION_SCREENSHOTURLS"].split()]:
        assert (ROOT / url.partition("/main/")[2]).is_file(), f"{url} is no file of this repository"


def test_the_extensions_icon_is_128_by_128() -> None:
    head = (ROOT / "FocusNetSegmentation.png").read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", head[16:24]) == (128, 128)


def test_nothing_heavy_is_imported_when_slicer_starts() -> None:
    """Slicer loads the module's file at every start: no torch, no network, no pip, and none of our own library either."""
    tree = ast.parse((MODULE / "FocusNetSegmentation.py").read_text(encoding="utf-8"))
    imported = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or ".")
    allowed = {
        "__future__", "logging", "os", "sys", "typing", "unittest", "pathlib", "ctk", "qt", "vtk", "slicer",
        "slicer.i18n", "slicer.ScriptedLoadableModule", "slicer.util",
    }  # fmt: skip
    assert imported <= allowed, imported - allowed


def test_the_panels_form_is_complete() -> None:
    """Every widget that a person uses has a tool tip, node selectors get the scene, and the tab order names what is there."""
    root = ElementTree.parse(MODULE / "Resources" / "UI" / "FocusNetSegmentation.ui").getroot()
    widgets = {w.get("name"): w for w in root.iter("widget")}
    for name, widget in widgets.items():
        if widget.get("class") not in ("QLabel", "QWidget", "qMRMLWidget", "QFrame", "QScrollArea"):
            assert widget.find("property[@name='toolTip']/string") is not None, f"{name} has no tool tip"
    receivers = {
        c.findtext("receiver") for c in root.iter("connection") if c.findtext("slot") == "setMRMLScene(vtkMRMLScene*)"
    }
    assert receivers == {n for n, w in widgets.items() if w.get("class") == "qMRMLNodeComboBox"}
    stops = [stop.text for stop in root.iter("tabstop")]
    assert set(stops) <= set(widgets)
    assert len(stops) == len(set(stops))
    fields = (
        "QPushButton", "QToolButton", "QComboBox", "ctkComboBox", "qMRMLNodeComboBox", "QCheckBox", "QSpinBox", "QListWidget",
    )  # fmt: skip
    reachable = {n for n, w in widgets.items() if w.get("class") in fields}
    assert reachable <= set(stops), f"no place in the tab order: {reachable - set(stops)}"


def test_no_text_to_translate_is_an_f_string() -> None:
    """Translators see the text as it is in the file; an f-string is another one for every value."""
    files = [MODULE / "FocusNetSegmentation.py", *sorted((MODULE / "FocusNetSegmentationLib").rglob("*.py"))]
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_":
                assert isinstance(node.args[0], ast.Constant), f"{path.name}:{node.lineno} is not a plain text"


def test_workflow_runs_slicers_own_tests_on_three_systems() -> None:
    text = (ROOT / ".github" / "workflows" / "slicer.yml").read_text(encoding="utf-8")
    for system in ("ubuntu", "macos", "windows"):
        assert system in text
    assert "ctest" in text
    assert Path(ROOT / "Testing" / "Slicer" / "CMakeLists.txt").is_file()


def test_the_module_and_its_form_carry_the_one_disclaimer() -> None:
    """Slicer reads both at its start, when nothing of ours may be imported: they repeat focusnet.wording's sentences."""
    module = ast.parse((MODULE / "FocusNetSegmentation.py").read_text(encoding="utf-8"))
    texts = [node.value for node in ast.walk(module) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert any(DISCLAIMER in text for text in texts)
    form = (MODULE / "Resources/UI/FocusNetSegmentation.ui").read_text(encoding="utf-8")
    assert f"<string>{CHECK_CONTOURS}</string>" in form
