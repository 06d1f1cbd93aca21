"""The engine knows neither Slicer nor Qt, what Slicer needs at start needs no torch, and imports between rooms go one way."""

from __future__ import annotations

import ast
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import focusnet

ROOT = Path(__file__).parents[2]
PRODUCT = ROOT / "FocusNetSegmentation"
ENGINE, LIB = "focusnet", "FocusNetSegmentationLib"
OPTIONAL = {"focusnet.__main__"}
LONGEST_FILE = 400  # lines

# Who may import whom. A room is a folder or a module at the top; what is not listed for a room, it must not import. Everyone may use EVERYONE.
# The dictionary is read from the bottom of the house to its top: a room names only rooms above it in this table.
EVERYONE = {"errors", "progress", "version", "wording"}
ENGINE_ROOMS: dict[str, set[str]] = {
    "files": set(),
    "image": set(),
    "metrics": {"image"},
    "io": {"files", "image", "metrics"},
    "nets": {"files", "image"},
    "inference": {"files", "image", "nets"},
    "evaluation": {"files", "image", "io", "metrics"},
    "phantom": {"files", "image", "io"},
    "datasets": {"files", "image", "io", "nets"},
    "simulate": {"datasets", "files", "image", "io", "phantom"},
    "baselines": {"datasets", "files", "image", "io"},
    "qa": {"evaluation", "files", "image", "inference", "io", "metrics", "nets"},
    "reports": {"datasets", "files", "image", "io", "nets", "qa"},
    "compare": {"datasets", "files", "image", "inference", "io", "metrics", "nets", "qa", "reports"},
    "collect": {"datasets", "evaluation", "files", "image", "io", "qa"},
    "jobs": set(),
    "batch": {"files", "image", "inference", "io", "jobs", "qa", "reports"},
    "node": {"files", "image", "inference", "io", "jobs", "nets", "reports"},
    "export": {"files", "image", "io", "qa"},
    "train": {"datasets", "files", "image", "inference", "io", "metrics", "nets", "qa", "reports"},
}
ENGINE_ROOMS["cli"] = {*ENGINE_ROOMS}
ENGINE_ROOMS["__main__"] = {"cli"}
ENGINE_ROOMS["__init__"] = {"image", "io", "inference", "nets"}  # the public names

TRAIN_ROOMS: dict[str, set[str]] = {
    "settings": set(),
    "logger": set(),
    "clock": set(),
    "heartbeat": {"logger"},
    "stages": {"settings"},
    "loop": {"clock", "heartbeat", "logger", "settings", "stages"},
    "setup": {"heartbeat", "logger", "loop", "settings", "stages"},
    "validation": {"heartbeat", "logger", "loop", "settings", "stages"},
    "stage_progress": {"setup"},
    "status": {"heartbeat", "setup", "stage_progress"},
    "run": {"clock", "heartbeat", "logger", "loop", "settings", "setup", "stages", "validation"},
}
LIB_ROOMS: dict[str, set[str]] = {
    "messages": set(),
    "scene": set(),
    "parameters": set(),
    "sample_data": {"scene"},
    "process": {"scene"},
    "install": {"process"},
    "review": {"process", "scene"},
    "exchange": {"process", "review", "sample_data", "scene"},
    "panel": {"exchange", "install", "messages", "parameters", "process", "review", "sample_data", "scene"},
}
SIDES: dict[str, set[str]] = {ENGINE: set(), LIB: {ENGINE}, "FocusNetSegmentation": {LIB, ENGINE}}


def run(code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": ":".join(p for p in sys.path if p)}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)


def modules_of(*rooms: str) -> list[str]:
    """Names of every module of the engine, or of some of its rooms."""
    names = [m.name for m in pkgutil.walk_packages(focusnet.__path__, "focusnet.") if m.name not in OPTIONAL]
    return [n for n in names if not rooms or n.split(".")[1] in rooms]


def imported(tree: ast.AST, package: list[str]) -> Iterator[tuple[list[str], int]]:
    """(dotted name in parts, line) of everything that a module of ``package`` imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split("."), node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = node.module.split(".") if node.module else []
            yield from (([*base, *module, alias.name], node.lineno) for alias in node.names)


def at_run_time(tree: ast.Module) -> ast.Module:
    """The module without what stands under ``if TYPE_CHECKING:``, which is never run: names of types come from above too."""
    body = [n for n in tree.body if not (isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")]
    return ast.Module(body, [])


def arrows(inside: str) -> Iterator[tuple[str, str, str]]:
    """(room, room that it imports, place in the source) between the rooms of a package such as ``focusnet`` or ``focusnet.train``."""
    prefix = inside.split(".")
    for path in sorted(PRODUCT.joinpath(*prefix).rglob("*.py")):
        parts = list(path.relative_to(PRODUCT).with_suffix("").parts)
        room = parts[len(prefix)]
        for name, line in imported(ast.parse(path.read_text(encoding="utf-8")), parts[:-1]):
            if name[: len(prefix)] == prefix and len(name) > len(prefix) and name[len(prefix)] not in (room, "*"):
                yield room, name[len(prefix)], f"{path.relative_to(PRODUCT)}:{line}"


def forbidden(inside: str, allowed: Mapping[str, set[str]]) -> list[str]:
    free = EVERYONE if inside == ENGINE else set()
    return [
        f"{place}: {room} imports {target}"
        for room, target, place in arrows(inside)
        if room not in free and target not in allowed[room] | free and not target.startswith("__")
    ]


@pytest.mark.parametrize(
    ("package", "rooms"), [(ENGINE, ENGINE_ROOMS), (f"{ENGINE}.train", TRAIN_ROOMS), (LIB, LIB_ROOMS)]
)
def test_rooms_import_only_rooms_below_them(package: str, rooms: dict[str, set[str]]) -> None:
    found = {room for room, _, _ in arrows(package)} - EVERYONE - {"__init__"}
    assert found <= set(rooms), "a new room: say in the table what it may import"
    assert forbidden(package, rooms) == []


@pytest.mark.parametrize("rooms", [ENGINE_ROOMS, TRAIN_ROOMS, LIB_ROOMS])
def test_the_tables_themselves_go_one_way(rooms: dict[str, set[str]]) -> None:
    order = list(rooms)
    for room, below in rooms.items():
        assert all(order.index(other) < order.index(room) or room == "cli" for other in below), room
    assert "train" not in set().union(*(below for room, below in rooms.items() if room != "cli"))


def test_an_import_against_the_arrows_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "focusnet" / "image").mkdir(parents=True)
    (tmp_path / "focusnet" / "image" / "m.py").write_text("def f():\n    from ..nets.config import NetworkConfig\n")
    (tmp_path / "focusnet" / "errors.py").write_text("")
    monkeypatch.setattr(sys.modules[__name__], "PRODUCT", tmp_path)
    assert forbidden(ENGINE, ENGINE_ROOMS) == [f"{Path('focusnet/image/m.py')}:2: image imports nets"]


def test_the_common_modules_import_no_room() -> None:
    assert [a for a in arrows(ENGINE) if a[0] in EVERYONE and a[1] not in EVERYONE] == []


@pytest.mark.parametrize("side", list(SIDES))
def test_the_panel_knows_the_engine_and_not_the_other_way_round(side: str) -> None:
    top = PRODUCT / side
    for path in top.rglob("*.py") if top.is_dir() else [PRODUCT / f"{side}.py"]:
        package = list(path.relative_to(PRODUCT).parts[:-1])
        tree = at_run_time(ast.parse(path.read_text(encoding="utf-8")))
        names = {name[0] for name, _ in imported(tree, package)}
        assert names & set(SIDES) <= SIDES[side] | {side}, path


def test_the_package_has_few_modules_at_its_top() -> None:
    assert len(list((PRODUCT / ENGINE).glob("*.py"))) <= 10
    assert len(list((PRODUCT / LIB).glob("*.py"))) <= 4


@pytest.mark.parametrize("folder", ["FocusNetSegmentation", "Testing"])
def test_no_file_is_longer_than_a_reader_likes(folder: str) -> None:
    lines = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in (ROOT / folder).rglob("*.py")}
    assert {str(p.relative_to(ROOT)): n for p, n in lines.items() if n > LONGEST_FILE} == {}


def test_every_module_imports_where_slicer_qt_ctk_and_vtk_cannot_be_imported() -> None:
    modules = modules_of()
    assert len(modules) > 30
    code = (
        "import sys, importlib\n"
        "for name in ('slicer', 'qt', 'ctk', 'vtk'): sys.modules[name] = None\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_what_slicer_needs_at_its_start_works_without_torch() -> None:
    modules = [
        *modules_of("files", "image", "io", "metrics", *EVERYONE),
        "focusnet.nets.config",
        "focusnet.nets.bundle",
    ]
    assert len(modules) > 30
    done = run(
        f"import sys, importlib\nsys.modules['torch'] = None\nfor name in {modules!r}: importlib.import_module(name)\n"
    )
    assert done.returncode == 0, done.stderr


def test_the_tags_of_segments_need_no_package_that_is_installed_later() -> None:
    missing = ("torch", "scipy", "SimpleITK", "slicerio", "nrrd", "pydicom", "contourpy")
    done = run(f"import sys\nfor name in {missing!r}: sys.modules[name] = None\nimport focusnet.io.segment_tags\n")
    assert done.returncode == 0, done.stderr


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys\nsys.modules['torch'] = None\nfrom focusnet.cli.main import main\nsys.exit(main(['segment', '--help']))"
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert "DICOM folder" in done.stdout


def test_inference_never_imports_training() -> None:
    done = run(
        "import sys, focusnet.inference.segment, focusnet.nets.bundle\nsys.exit(any(m.startswith('focusnet.train') for m in sys.modules))"
    )
    assert done.returncode == 0, done.stderr
