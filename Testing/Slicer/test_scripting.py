"""docs/scripting.md: its session, pasted block by block as it stands. Outside Slicer: on slicer-core and stand-ins for Slicer's modules."""

from __future__ import annotations

import code
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..paths import ROOT
from .helpers_worker import worker_python

PAGE = ROOT / "docs" / "scripting.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
TRAINING = next(i for i, block in enumerate(BLOCKS) if "FocusNetTrainingLogic" in block)


class Console(code.InteractiveConsole):
    """Takes lines as Slicer's Python console does: a line is run as soon as it is complete. An exception fails the test."""

    def showtraceback(self) -> None:
        raise

    def showsyntaxerror(self, *_args: Any, **_options: Any) -> None:
        raise


def paste(
    blocks: list[str], panel: Any, folder: Path, changed: dict[str, str], console: dict[str, Any]
) -> dict[str, Any]:
    """Paste the blocks one after the other, each as a whole; between them nobody waits."""
    interactive = Console(console)
    for block in blocks:
        for there, here in {"/data/": f"{folder}/", **changed}.items():
            block = block.replace(there, here)
        more = False
        for line in block.splitlines():
            more = interactive.push(line)
        assert not more, f"the console still waits for the end of:\n{block}"
        panel.stand_ins.application.processEvents()
    return console


def test_the_session_can_be_pasted(
    open_panel: Callable[..., Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the stand-in worker and a coarser phantom; what is printed is what the page says."""
    panel = open_panel(opened=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    coarser = {"logic.samplePhantom()": "phantom()"}
    names = {"phantom": lambda: panel.volume("FocusNetPhantom")}
    console = paste(BLOCKS[:TRAINING], panel, tmp_path, coarser, names)
    said = capsys.readouterr().out
    assert "FocusNetPhantom organs not found: ()" in said
    assert "running: True" in said
    assert "running: False" in said
    assert "40% Segmenting all organs" in said
    assert "done: ['Parotid_R', 'Parotid_L']" in said
    assert "FocusNetPhantom: done." in said
    assert "changed by hand: []" in said
    assert "'model': 'han7-openkbp'" in said
    assert (tmp_path / "organs.seg.nrrd").is_file()
    assert len(console["result"].segment_ids) == 7


@pytest.mark.slow
def test_the_training_can_be_pasted(open_panel: Callable[..., Any], tmp_path: Path) -> None:
    """With the real engine: a training of a few steps instead of the paper's, and time for it to get on; then its model segments."""
    from FocusNetSegmentationLib.process.process_tree import kill_tree

    python = worker_python()
    config = small_training(python, tmp_path)
    panel = open_panel(opened=False, python=python)
    changed = {
        'preset="paper"': f'config="{config}"',
        "training.stop()": "(wait(lambda p: p.step or p.state != 'running'), training.stop())[1]",
        "training.register()": "(wait(lambda p: p.state != 'running'), training.register())[1]",
    }
    console: dict[str, Any] = {"logic": panel.module.FocusNetSegmentationLogic(), "ct": panel.volume()}

    def wait(until: Callable[[Any], object]) -> None:
        deadline = time.monotonic() + 150
        while not until(console["training"].progress()):
            assert time.monotonic() < deadline, console["training"].log()
            time.sleep(0.1)

    console["wait"] = wait
    try:
        paste(BLOCKS[TRAINING:], panel, tmp_path, changed, console)
        assert console["name"] == "tiny"
        assert console["result"].node.GetScene() is panel.scene
    finally:
        if "training" in console:
            kill_tree(None, console["training"].find().mark)


def small_training(python: str, folder: Path) -> Path:
    """A data set of phantoms and a configuration of a few steps, made by the Python that has torch."""
    import subprocess

    root = ROOT
    code = (
        f"import sys; sys.path[:0] = [{str(root)!r}, {str(root / 'FocusNetSegmentation')!r}]\n"
        "from pathlib import Path; from Testing.Core.helpers_dataset import TINY_TOML, write_dataset\n"
        f"write_dataset(Path({str(folder / 'my-cases')!r}))\n"
        f"Path({str(folder / 'tiny.toml')!r}).write_text(TINY_TOML)\n"
    )
    subprocess.run([python, "-c", code], check=True)
    return folder / "tiny.toml"
