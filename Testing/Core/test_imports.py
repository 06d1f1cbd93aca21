"""The engine knows neither Slicer nor Qt, and what Slicer needs at start needs no torch."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import focusnet

OPTIONAL = {"focusnet.__main__"}


def run(code: str) -> subprocess.CompletedProcess[str]:
    environment = {**__import__("os").environ, "PYTHONPATH": ":".join(p for p in sys.path if p)}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)


def test_every_module_imports_where_slicer_qt_ctk_and_vtk_cannot_be_imported() -> None:
    modules = [m.name for m in pkgutil.walk_packages(focusnet.__path__, "focusnet.") if m.name not in OPTIONAL]
    assert len(modules) > 30
    code = (
        "import sys, importlib\n"
        "for name in ('slicer', 'qt', 'ctk', 'vtk'): sys.modules[name] = None\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_what_slicer_needs_at_its_start_works_without_torch() -> None:
    names = [
        "organs",
        "config",
        "volume",
        "segmentation",
        "errors",
        "progress",
        "version",
        "bundle",
        "io.checks",
        "io.seg_nrrd",
    ]
    code = "import sys\nsys.modules['torch'] = None\nimport focusnet\n" + "".join(
        f"import focusnet.{n}\n" for n in names
    )
    done = run(code)
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
