"""Panel on stand-ins: the model list, devices and the installation section. Not "tested in Slicer": see stand_ins.py.

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


def test_what_is_missing_is_said_and_apply_waits_for_it(open_panel: Callable[..., Any]) -> None:
    panel = open_panel(probe=NO_TORCH)
    panel.volume()
    assert not panel.ui.installationCollapsibleButton.collapsed, "opened by itself"
    assert panel.ui.installationCollapsibleButton.text == "Installation: something is missing"
    assert panel.text("preflightLabel").startswith("✗ PyTorch is not installed.")
    assert not panel.ui.applyButton.enabled
    assert panel.says == "⚠ Something is not installed yet: see Installation below."
    assert panel.ui.installButton.enabled
    assert panel.ui.installFromFolderButton.enabled


class Answering:
    """Stands in for pip and for the PyTorch extension."""

    def __init__(self, problem: str = "") -> None:
        self.problem, self.asked = problem, []

    def install(self, requirements: Any, options: Any, on_output: Callable[[str], object]) -> None:
        from FocusNetSegmentationLib.install.installer import InstallError

        self.asked.append((requirements, options))
        on_output("Collecting torch")
        if self.problem:
            raise InstallError(self.problem)


def with_installer(panel: Any, pip: Any, torch: Any) -> None:
    from FocusNetSegmentationLib.install.installer import Installer
    from FocusNetSegmentationLib.install.preflight import TorchStatus

    section = panel.panel.installation
    section.make_installer = lambda wheels: Installer(
        pip, torch, section._consent, section._progress, wheels, smoke=lambda: TorchStatus("2.13.0")
    )


def test_install_asks_installs_and_looks_again(open_panel: Callable[..., Any], tmp_path: Path) -> None:
    from ..helpers_panel import PROBE, write_python_slicer

    panel = open_panel(probe=NO_TORCH)
    panel.volume()
    torch = Answering()
    with_installer(panel, Answering(), torch)
    panel.stand_ins.answers = [False]
    panel.ui.installButton.click()
    name, text, _ = panel.stand_ins.dialogs[-1]
    assert name == "confirmOkCancelDisplay"
    assert "Install PyTorch (a large download)" in text
    assert torch.asked == [], "nothing without consent"
    assert panel.text("installStatusLabel") == "Nothing was installed, as you chose."
    write_python_slicer(tmp_path / "bin", PROBE)  # from now on torch is there
    panel.ui.installButton.click()
    panel.settle()
    assert torch.asked == [("torch>=2.2", False)]
    assert panel.text("installStatusLabel").startswith("✓ Everything is installed and works.")
    assert panel.ui.applyButton.enabled
    assert not panel.ui.installButton.enabled


def test_a_failed_installation_is_explained_with_the_details(open_panel: Callable[..., Any]) -> None:
    panel = open_panel(probe=NO_TORCH)
    with_installer(
        panel, Answering(), Answering("ERROR: Could not install packages: [Errno 28] No space left on device")
    )
    panel.ui.installButton.click()
    panel.settle()
    name, text, options = panel.stand_ins.dialogs[-1]
    assert name == "errorDisplay"
    assert text.startswith("The disk is full.")
    assert "Collecting torch" in options["detailedText"]
    assert panel.text("installStatusLabel").startswith("✗ The disk is full.")
    assert panel.ui.installButton.enabled, "and can be tried again"


def test_without_the_pytorch_extension_the_way_out_is_named(open_panel: Callable[..., Any]) -> None:
    panel = open_panel(probe=NO_TORCH)
    panel.ui.installButton.click()  # the real installer: here is no PyTorchUtils
    panel.settle()
    assert "PyTorch is installed by the PyTorch extension, which is not there" in panel.text("installStatusLabel")


def test_wheels_come_from_a_folder_without_a_network(open_panel: Callable[..., Any], tmp_path: Path) -> None:
    panel = open_panel(probe=NO_TORCH)
    pip = Answering()
    with_installer(panel, pip, None)
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    panel.stand_ins.file_dialog.answers = [str(wheels)]
    panel.ui.installFromFolderButton.click()
    panel.settle()
    assert "holds no wheels" in panel.text("installStatusLabel")
    (wheels / "torch-2.13.0-cp312-none-any.whl").touch()
    panel.stand_ins.file_dialog.answers = [str(wheels)]
    panel.ui.installFromFolderButton.click()
    panel.settle()
    assert pip.asked[0][1] == ["--no-index", "--find-links", str(wheels)]


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
    assert panel.text("modelInfoLabel") == "✓ The model han7-openkbp was added."
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
