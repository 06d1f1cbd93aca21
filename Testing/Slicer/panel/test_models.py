"""Panel on stand-ins: the model list and devices. Not "tested in Slicer": see stand_ins.py.

Adding and verifying a model run the real ``focusnet models`` in a Python with torch (FOCUSNET_WORKER_PYTHON names one).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ...paths import ROOT
from ..helpers_worker import worker_python

SHIPPED = ROOT / "FocusNetSegmentation" / "Resources" / "Models" / "han7-openkbp"
NO_TORCH = {
    "python": "3.12.10", "torch": None, "torch_metadata": None, "torch_error": "ModuleNotFoundError: No module named 'torch'",
    "cuda_build": None, "devices": [], "smoke": {},
}  # fmt: skip


def own_model(folder: Path, name: str = "mine", **changes: Any) -> Path:
    """A copy of the shipped model among the user's own, with another manifest."""
    shutil.copytree(SHIPPED, folder / "models" / name)
    manifest = folder / "models" / name / "bundle.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text("utf-8")), "name": name, **changes}), "utf-8")
    return manifest.parent


def test_the_model_says_what_it_knows_and_how_well(panel: Any) -> None:
    manifest = json.loads((SHIPPED / "bundle.json").read_text("utf-8"))
    text = panel.text("modelInfoLabel")
    assert f"{len(manifest['organs'])} organs" in text
    assert f"Mean DSC {manifest['held_out']['mean_dsc']:.2f} on held-out scans" in text
    assert f"Trained {manifest['training']['date']}" in text
    item = panel.ui.organsListWidget.item(0)
    assert item.toolTip() == "Brainstem"
    assert "DSC 0." in item.text()
    assert not panel.ui.removeModelButton.enabled, "what came with the extension stays"


def test_a_model_of_ones_own_can_be_chosen_and_removed(open_panel: Callable[..., Any], tmp_path: Path) -> None:
    folder = own_model(
        tmp_path, held_out={}, organs=json.loads((SHIPPED / "bundle.json").read_text("utf-8"))["organs"][:2]
    )
    panel = open_panel()
    panel.parameters.model = "mine"
    panel.settle()
    assert panel.ui.modelComboBox.currentText == "mine"
    assert panel.ui.organsCollapsibleButton.text == "Organs: all 2"
    assert panel.text("modelInfoLabel").endswith("No held-out score.")
    panel.stand_ins.answers = [False]
    panel.ui.removeModelButton.click()
    assert folder.is_dir(), "asked first"
    panel.ui.removeModelButton.click()
    assert not folder.exists()
    assert panel.ui.modelComboBox.currentText == "han7-openkbp"
    assert len(panel.stand_ins.dialogs) == 2


def test_an_adopted_version_says_where_it_comes_from_and_whose_place_it_takes(
    open_panel: Callable[..., Any], tmp_path: Path
) -> None:
    step = {"parent": "han7-openkbp", "parent_version": "3", "cases": 20, "date": "2026-11-28"}
    own_model(tmp_path, "han7-openkbp", version="3.1", lineage=[step])
    panel = open_panel()
    text = panel.text("modelInfoLabel")
    assert "Version 3.1, fine-tuned from han7-openkbp 3 on 20 corrected cases, 2026-11-28." in text
    assert "It takes the place of the shipped model of this name." in text


def test_a_damaged_model_is_listed_with_its_fault_and_not_run(open_panel: Callable[..., Any], tmp_path: Path) -> None:
    (own_model(tmp_path) / "bundle.json").write_text('{"name": ')
    panel = open_panel()
    panel.volume()
    panel.parameters.model = "mine"
    panel.settle()
    assert "bundle.json cannot be read" in panel.text("modelInfoLabel")
    assert not panel.ui.applyButton.enabled
    assert "bundle.json cannot be read" in panel.ui.applyButton.toolTip


def test_a_scenes_model_that_is_not_here_is_named(panel: Any) -> None:
    panel.volume()
    panel.parameters.model = "someone-elses"
    panel.settle()
    assert panel.says == "⚠ The model someone-elses is not on this computer. Choose another, or add it."
    assert not panel.ui.applyButton.enabled


def test_devices_are_listed_with_their_free_memory(open_panel: Callable[..., Any]) -> None:
    from ..helpers_panel import GPU, PROBE

    panel = open_panel(probe={**PROBE, "cuda_build": "12.8", "devices": [GPU]})
    box = panel.ui.deviceComboBox
    assert [box.itemText(i) for i in range(box.count)] == [
        "Automatic", "CPU", "cuda:0: NVIDIA RTX A5000 (21.6 of 24.0 GB free)",
    ]  # fmt: skip
    box.setCurrentIndex(2)
    assert panel.parameters.device == "cuda:0"


def test_a_scenes_device_that_is_not_here_becomes_automatic(panel: Any) -> None:
    panel.parameters.device = "cuda:3"
    panel.settle()
    assert panel.parameters.device == "auto"


@pytest.mark.slow
def test_a_model_is_added_and_verified_by_the_real_command(open_panel: Callable[..., Any], tmp_path: Path) -> None:
    python = worker_python()
    archive = shutil.make_archive(str(tmp_path / "again"), "zip", SHIPPED.parent, SHIPPED.name)
    panel = open_panel(python=python)
    panel.ui.verifyModelButton.click()
    assert panel.text("modelInfoLabel") == "Checking the model..."
    panel.until(lambda: panel.panel.models.command is None, 60)
    assert panel.text("modelInfoLabel").startswith("✓"), panel.text("modelInfoLabel")
    panel.stand_ins.file_dialog.answers = [archive]
    panel.ui.addModelButton.click()
    panel.until(lambda: panel.panel.models.command is None, 60)
    assert panel.text("modelInfoLabel").startswith("✓ The model han7-openkbp was added. ")
    assert "shipped" in panel.text("modelInfoLabel"), "it is used in place of the one that ships"
    own = tmp_path / "models" / "han7-openkbp"
    weights = bytearray((own / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (own / "weights.safetensors").write_bytes(weights)
    panel.ui.verifyModelButton.click()
    panel.until(lambda: panel.panel.models.command is None, 60)
    assert panel.text("modelInfoLabel").startswith("✗")
    assert "sha256" in panel.text("modelInfoLabel")


@pytest.mark.slow
def test_the_whole_way_with_the_real_engine(open_panel: Callable[..., Any], tmp_path: Path) -> None:
    """Sample data, Apply, an edit, export: the shipped model in the real worker process."""
    from ..helpers_nodes import erase_a_bit, paint

    panel = open_panel(python=worker_python())
    panel.until(lambda: panel.panel.installation.found is not None, 60)
    panel.volume(spacing_mm=3.0)
    assert panel.ui.applyButton.enabled, panel.says
    panel.parameters.device = "cpu"
    panel.ui.applyButton.click()
    steps: list[str] = []
    panel.until(lambda: steps.append(panel.says) or not panel.panel.runs.is_running, 240)
    panel.settle()
    assert any("Segmenting all organs" in step for step in steps)
    assert "Done in" in panel.says, panel.says
    node = panel.parameters.resultSegmentation
    assert node.GetSegmentation().GetNumberOfSegments() == 7
    paint(node, "Brainstem", erase_a_bit)
    panel.stand_ins.file_dialog.answers = [str(tmp_path / "out.seg.nrrd")]
    panel.ui.exportButton.click()
    assert (tmp_path / "out.seg.nrrd").is_file()
