"""What is found on a computer before anything is installed: packages, PyTorch, the GPU, Python, the disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from FocusNetSegmentationLib.install import preflight as preflight_module
from FocusNetSegmentationLib.install.plan import plan
from FocusNetSegmentationLib.install.preflight import (
    PACKAGES,
    SHIPPED,
    TORCH,
    Item,
    TorchStatus,
    check_packages,
    disk_item,
    gpu_items,
    parse_probe,
    preflight,
    probe_torch,
    python_item,
    torch_item,
)
from FocusNetSegmentationLib.install.probe import nvidia_smi

from ...paths import ROOT
from ..helpers_installer import GOOD_TORCH, NO_TORCH


def test_the_packages_are_those_of_pyproject_with_the_same_versions() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    block = text.split("dependencies = [", 1)[1].split("]", 1)[0]
    declared = {line.strip().strip('",').partition(";")[0].strip() for line in block.splitlines() if line.strip()}
    assert {*PACKAGES, *SHIPPED, TORCH} <= declared


def test_missing_old_and_present_packages_are_told_apart() -> None:
    versions = {"psutil": "7.2.2", "slicerio": "1.1.9", "SimpleITK": ""}
    items = check_packages(("psutil>=5.9", "slicerio>=1.2", "pynrrd>=1.0", "SimpleITK>=2.3"), versions.get)
    assert [(i.key, i.level) for i in items] == [
        ("psutil", "ok"),
        ("slicerio", "missing"),
        ("pynrrd", "missing"),
        ("SimpleITK", "ok"),
    ]
    assert items[1].text == "slicerio 1.1.9 is installed; 1.2 or later is needed."


def test_python_and_disk_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert python_item().level == "ok"
    monkeypatch.setattr(preflight_module.shutil, "disk_usage", lambda _: SimpleNamespace(free=2e9))
    assert disk_item(tmp_path).level == "warning"
    assert "2 GB free" in disk_item(tmp_path).text


def test_a_complete_machine_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight_module, "installed_version", lambda name: "99")
    monkeypatch.setattr(preflight_module, "models_item", lambda: Item("models", "Models", "ok", "m"))
    everything = preflight(torch=GOOD_TORCH)
    assert everything.ready, [i for i in everything.items if i.level == "missing"]
    assert plan(everything) == []


# --- PyTorch


def test_the_preflight_imports_no_torch_into_this_process() -> None:
    code = (
        "import sys\nfrom FocusNetSegmentationLib.install.preflight import preflight\n"
        "found = preflight(sys.executable)\n"
        "assert 'torch' not in sys.modules\n"
        "print('\\n'.join(f'{i.key}|{i.level}|{i.text}' for i in found.items))"
    )
    path = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split("|") for line in done.stdout.splitlines()]
    assert {"python", "torch", "gpu", "disk", "models", "psutil", "numpy"} <= {line[0] for line in lines}
    assert all(len(line) == 3 and line[2] for line in lines)


def test_the_probe_sees_a_real_torch_compute() -> None:
    pytest.importorskip("torch", reason="needs torch")
    status = probe_torch(sys.executable, smoke=True)
    assert status.version
    assert status.smoke["cpu"] == ""
    assert torch_item(status).level == "ok"


def test_no_torch_a_half_installed_one_and_one_that_crashes_are_told_apart(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    (absent / "torch").mkdir(parents=True)
    (absent / "torch" / "__init__.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')"
    )
    broken = tmp_path / "broken"
    (broken / "torch").mkdir(parents=True)
    (broken / "torch" / "__init__.py").write_text("raise OSError('libcudnn.so.9: cannot open shared object file')")
    crashing = tmp_path / "crashing"
    (crashing / "torch").mkdir(parents=True)
    (crashing / "torch" / "__init__.py").write_text("import os; os.abort()")
    empty = tmp_path / "empty"
    (empty / "torch").mkdir(parents=True)  # what an interrupted uninstallation leaves
    (empty / "torch" / "__init__.py").touch()

    def status(folder: Path) -> TorchStatus:
        program, arguments, environment = preflight_module.probe_command(sys.executable)
        environment["PYTHONPATH"] = os.pathsep.join([str(folder), environment["PYTHONPATH"]])
        done = subprocess.run(
            [program, *arguments], capture_output=True, text=True, check=False, env={**os.environ, **environment}
        )
        return parse_probe(done.returncode, done.stdout, done.stderr)

    found = replace(status(absent), installed=None)
    assert torch_item(found).text == "PyTorch is not installed."
    found = status(broken)
    assert found.half_installed
    assert "only half installed: OSError: libcudnn.so.9" in torch_item(found).text
    found = status(crashing)
    assert found.half_installed
    assert "only half installed: its import ends Python" in torch_item(found).text
    assert "Fatal Python error" in found.details
    assert "empty folder" in torch_item(status(empty)).text


def test_a_probe_that_hangs_is_given_up(tmp_path: Path) -> None:
    hanging = tmp_path / "python"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    if os.name != "posix":
        pytest.skip("a script with a first line for the shell")
    assert "did not answer" in torch_item(probe_torch(str(hanging), timeout_s=0.3)).text
    assert not probe_torch(str(hanging), timeout_s=0.3).half_installed
    assert "cannot be started" in probe_torch(str(tmp_path / "no-python")).error


@pytest.mark.parametrize(
    ("status", "stdout", "stderr"),
    [
        (
            1,
            "",
            "/usr/bin/python: Error while finding module specification for 'FocusNetSegmentationLib.install.probe'",
        ),
        (127, "", "PythonSlicer: command not found"),
        (-9, "", ""),
        (0, "a launcher's own words\n", ""),
    ],
)
def test_a_look_that_fails_is_not_called_a_half_installed_pytorch(status: int, stdout: str, stderr: str) -> None:
    """It did not get as far as importing PyTorch, so nothing is known of it: it is neither blamed nor installed again."""
    found = parse_probe(status, stdout, stderr)
    assert not found.half_installed
    item = torch_item(found)
    assert item.level == "warning"
    assert item.text.startswith("It is not known whether PyTorch works")
    assert "half installed" not in item.text


def test_the_look_asks_for_the_gpu_in_its_own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """nvidia-smi may take seconds: Slicer's window does not wait for it."""
    monkeypatch.setattr(preflight_module, "nvidia_smi", lambda: pytest.fail("asked in Slicer's own process"))
    card = {"name": "NVIDIA A", "driver": "550.1", "total_mb": "8192", "free_mb": "8000"}
    probe = {
        "torch": None, "torch_metadata": None, "torch_error": "ModuleNotFoundError: No module named 'torch'",
        "cuda_build": None, "devices": [], "smoke": {}, "cards": [card],
    }  # fmt: skip
    status = parse_probe(0, json.dumps(probe), "")
    assert status.cards == (card,)
    assert "NVIDIA A" in next(item.text for item in preflight(torch=status).items if item.key == "gpu")


# --- the GPU


CARD = {"name": "NVIDIA A", "driver": "470.1", "total_mb": "8192", "free_mb": "8000"}
CUDA_TORCH = replace(GOOD_TORCH, cuda_build="12.8")
OLD_DRIVER = "UserWarning: CUDA initialization: The NVIDIA driver on your system is too old (found version 11040)"
USED = {"name": "cuda:0", "title": "NVIDIA A", "free_mb": 7680, "total_mb": 8192}
MPS = {"name": "mps", "title": "Apple GPU", "free_mb": None, "total_mb": None}


@pytest.mark.parametrize(
    ("torch", "cards", "level", "text"),
    [
        (GOOD_TORCH, [], "ok", "No NVIDIA GPU; the CPU is used."),
        (GOOD_TORCH, [CARD], "warning", "PyTorch here is built for the CPU"),
        (replace(CUDA_TORCH, details=OLD_DRIVER), [CARD], "warning", "the driver is too old for CUDA 12.8"),
        (CUDA_TORCH, [CARD], "warning", "PyTorch cannot reach it"),
        (NO_TORCH, [CARD], "ok", "NVIDIA A, driver 470.1"),
        (replace(CUDA_TORCH, devices=(USED,)), [CARD], "ok", "NVIDIA A (7.5 of 8.0 GB free), driver 470.1"),
        (replace(GOOD_TORCH, devices=(MPS,)), [], "ok", "Apple GPU"),
    ],
)
def test_it_is_told_why_a_gpu_is_not_used(
    torch: TorchStatus, cards: list[dict[str, str]], level: str, text: str
) -> None:
    (item,) = gpu_items(torch, cards)
    assert item.level == level
    assert text in item.text


def test_a_gpu_that_cannot_convolve_is_a_warning_and_a_cpu_that_cannot_is_a_failure() -> None:
    assert (
        "Use the CPU"
        in torch_item(
            replace(GOOD_TORCH, smoke={"cpu": "", "mps": "RuntimeError: Conv3D is not supported on MPS"})
        ).text
    )
    assert torch_item(replace(GOOD_TORCH, smoke={"cpu": "a convolution gave 0"})).level == "missing"
    assert "2.2 or later" in torch_item(replace(GOOD_TORCH, version="1.13.1")).text


def test_a_gpus_tool_that_fails_or_is_absent_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.name != "posix":
        pytest.skip("a script with a first line for the shell")
    tool = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert nvidia_smi() == []
    tool.write_text(
        "#!/bin/sh\necho 'NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.'; exit 9\n"
    )
    tool.chmod(0o755)
    assert nvidia_smi() == []
    tool.write_text("#!/bin/sh\necho 'NVIDIA A, 550.54, 8192, 8000'\n")
    assert nvidia_smi() == [{"name": "NVIDIA A", "driver": "550.54", "total_mb": "8192", "free_mb": "8000"}]
