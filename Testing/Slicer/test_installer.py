"""Preflight and installation. pip is the real one, in a throw-away environment; only Slicer's own parts are test doubles."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from FocusNetSegmentationLib import preflight as preflight_module
from FocusNetSegmentationLib.installer import (
    NO_EXTENSION,
    CommandPip,
    Installer,
    InstallError,
    InstallReport,
    PyTorchExtension,
    SlicerPip,
    Step,
    explain_failure,
    plan,
)
from FocusNetSegmentationLib.preflight import (
    PACKAGES,
    SHIPPED,
    TORCH,
    Item,
    Preflight,
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

ROOT = Path(__file__).resolve().parents[2]
GOOD_TORCH = TorchStatus("2.13.0+cpu", "2.13.0+cpu", smoke={"cpu": ""})
NO_TORCH = TorchStatus(None, None, "ModuleNotFoundError: No module named 'torch'")


def wheel(folder: Path, name: str, version: str = "1.0", requires: str = "", code: str = "") -> Path:
    """A real wheel with one module."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + (
        f"Requires-Dist: {requires}\n" if requires else ""
    )
    files = {
        f"{name}/__init__.py": code or f"__version__ = {version!r}\n",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {
        n: base64.urlsafe_b64encode(hashlib.sha256(t.encode()).digest()).rstrip(b"=").decode() for n, t in files.items()
    }
    files[f"{info}/RECORD"] = (
        "".join(f"{n},sha256={digests[n]},{len(t)}\n" for n, t in files.items() if n in digests) + f"{info}/RECORD,,\n"
    )
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return path


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip as a user's Slicer has it, whatever is configured here."""
    for name in [n for n in os.environ if n.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A throw-away environment with pip and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    return str(folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def run_in(python: str, code: str) -> str:
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


class Told:
    def __init__(self) -> None:
        self.progress: list[tuple[str, float, str]] = []

    def __call__(self, title: str, fraction: float, line: str) -> None:
        self.progress.append((title, fraction, line))


def installer(
    pip: Any, torch: Any = None, agree: bool = True, smoke: TorchStatus = GOOD_TORCH, **options: Any
) -> Installer:
    return Installer(pip, torch, consent=lambda steps: agree, smoke=lambda: smoke, **options)


# --- what is there


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


def test_the_preflight_imports_no_torch_into_this_process() -> None:
    code = (
        "import sys\nfrom FocusNetSegmentationLib.preflight import preflight\n"
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
    assert "cannot be started" in probe_torch(str(tmp_path / "no-python")).error


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


def test_python_and_disk_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert python_item().level == "ok"
    monkeypatch.setattr(preflight_module.shutil, "disk_usage", lambda _: SimpleNamespace(free=2e9))
    assert disk_item(tmp_path).level == "warning"
    assert "2 GB free" in disk_item(tmp_path).text


def test_a_gpus_tool_that_fails_or_is_absent_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.name != "posix":
        pytest.skip("a script with a first line for the shell")
    tool = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert preflight_module.nvidia_smi() == []
    tool.write_text(
        "#!/bin/sh\necho 'NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.'; exit 9\n"
    )
    tool.chmod(0o755)
    assert preflight_module.nvidia_smi() == []
    tool.write_text("#!/bin/sh\necho 'NVIDIA A, 550.54, 8192, 8000'\n")
    assert preflight_module.nvidia_smi() == [
        {"name": "NVIDIA A", "driver": "550.54", "total_mb": "8192", "free_mb": "8000"}
    ]


# --- what is done


def found(torch: TorchStatus = GOOD_TORCH, packages: Sequence[str] = ()) -> Preflight:
    return Preflight((Item("torch", "PyTorch", "ok", ""),), torch, tuple(packages))


def test_the_plan_holds_only_what_is_missing_and_ends_with_a_test() -> None:
    assert plan(found()) == []
    assert [s.kind for s in plan(found(NO_TORCH, ["psutil>=5.9"]))] == ["torch", "packages", "smoke"]
    assert [s.kind for s in plan(found(packages=["psutil>=5.9"]))] == ["packages", "smoke"]
    half = plan(found(TorchStatus(None, "2.13.0", "OSError: broken")))
    assert half[0].reinstall
    assert half[0].title == "Install PyTorch again"


class Recorder:
    """A stand-in for pip or the PyTorch extension that writes down what it was asked."""

    def __init__(self, output: str = "", problem: Exception | None = None) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.output, self.problem = output, problem

    def install(self, *arguments: Any) -> None:
        *rest, on_output = arguments
        self.calls.append(tuple(rest))
        on_output(self.output)
        if self.problem is not None:
            raise self.problem


def test_nothing_happens_without_consent() -> None:
    pip, torch = Recorder(), Recorder()
    asked: list[Sequence[Step]] = []
    one = Installer(pip, torch, consent=lambda steps: bool(asked.append(steps)), smoke=lambda: GOOD_TORCH)
    report = one.install(plan(found(NO_TORCH, ["psutil>=5.9"])))
    assert (report.ok, report.cancelled) == (False, True)
    assert [s.title for s in asked[0]] == [
        "Install PyTorch (a large download)",
        "Install psutil",
        "Test the installation with a small computation",
    ]
    assert pip.calls == torch.calls == []


def test_torch_comes_from_the_extension_and_the_rest_from_pip_in_this_order() -> None:
    pip, torch, told = Recorder("Successfully installed psutil"), Recorder("Downloading torch"), Told()
    report = installer(pip, torch, on_progress=told).install(plan(found(NO_TORCH, ["psutil>=5.9"])))
    assert report.ok, report
    assert torch.calls == [(TORCH, False)]
    assert pip.calls == [(("psutil>=5.9",), [])]
    assert [line for _, _, line in told.progress if line.startswith(("Down", "Succ"))] == [
        "Downloading torch",
        "Successfully installed psutil",
    ]
    fractions = [f for _, f, _ in told.progress]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_without_the_extension_it_is_said_what_to_do() -> None:
    report = installer(Recorder()).install(plan(found(NO_TORCH)))
    assert not report.ok
    assert report.message == NO_EXTENSION


def test_a_failed_smoke_test_is_a_failed_installation() -> None:
    report = installer(
        Recorder(), Recorder(), smoke=TorchStatus(None, "2.13.0", "OSError: libcudnn.so.9: cannot open")
    ).install(plan(found(NO_TORCH)))
    assert not report.ok
    assert "half installed" in report.message


def test_a_helper_that_raises_anything_is_a_sentence_with_details() -> None:
    report = installer(Recorder(), Recorder("a line", ZeroDivisionError("oops"))).install(plan(found(NO_TORCH)))
    assert not report.ok
    assert "ZeroDivisionError: oops" in report.message
    assert "a line" in report.details


def test_a_package_that_is_loaded_already_asks_for_a_restart() -> None:
    import psutil  # noqa: F401 - is loaded, as it would be in Slicer

    assert installer(Recorder()).install([Step("packages", "t", ("psutil>=5.9",))]).restart
    assert not installer(Recorder()).install([Step("packages", "t", ("slicerio>=1.2",))]).restart


# --- the real pip


@pytest.mark.slow
def test_offline_everything_comes_from_a_folder_of_wheels(python: str, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels with a space"
    wheel(wheels, "focusnet_test_a", requires="focusnet_test_b>=2", code="import focusnet_test_b\n")
    wheel(wheels, "focusnet_test_b", "2.5")
    told = Told()
    steps = [Step("packages", "Install", ("focusnet_test_a>=1.0",)), Step("smoke", "Test")]
    report = installer(CommandPip(python), wheels=wheels, on_progress=told).install(steps)
    assert report.ok, report
    assert run_in(python, "import focusnet_test_a, focusnet_test_b as b; print(b.__version__)") == "2.5"
    assert "Successfully installed" in report.details
    assert any("Processing" in line for _, _, line in told.progress), "pip's lines arrive while it works"


@pytest.mark.slow
def test_a_folder_that_lacks_a_wheel_is_said_to(python: str, tmp_path: Path) -> None:
    wheel(tmp_path, "focusnet_test_c", requires="focusnet_test_missing")
    report = installer(CommandPip(python), wheels=tmp_path).install([Step("packages", "Install", ("focusnet_test_c",))])
    assert report.message.startswith("The folder lacks a wheel for this Python"), report


@pytest.mark.slow
def test_a_damaged_wheel_is_said_to_be(python: str, tmp_path: Path) -> None:
    path = wheel(tmp_path, "focusnet_test_d")
    path.write_bytes(path.read_bytes()[:200])
    report = installer(CommandPip(python), wheels=tmp_path).install([Step("packages", "Install", ("focusnet_test_d",))])
    assert "damaged" in report.message, report


@pytest.mark.slow
def test_no_network_is_said_to_be(python: str) -> None:
    nowhere = CommandPip(python, ["--index-url", "http://127.0.0.1:9/simple", "--retries", "1", "--timeout", "2"])
    report = installer(nowhere).install([Step("packages", "Install", ("focusnet-test-nowhere",))])
    assert report.message.startswith("There is no connection to the package server"), report
    assert "focusnet-test-nowhere" in report.details


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_said_to_be(python: str, tmp_path: Path) -> None:
    wheel(tmp_path / "w", "focusnet_test_e")
    target = tmp_path / "locked"
    target.mkdir(mode=0o500)
    report = installer(CommandPip(python, ["--target", str(target)]), wheels=tmp_path / "w").install(
        [Step("packages", "Install", ("focusnet_test_e",))]
    )
    assert "cannot be written" in report.message, report


def test_an_empty_folder_is_refused_before_pip_runs(tmp_path: Path) -> None:
    pip = Recorder()
    report = installer(pip, wheels=tmp_path).install([Step("packages", "Install", ("x",))])
    assert "holds no wheels" in report.message
    assert pip.calls == []


OS_ERROR = "ERROR: Could not install packages due to an OSError: "
RETRYING = "WARNING: Retrying (Retry(total=4, connect=None)) after connection broken by "
NO_VERSION = "ERROR: Could not find a version that satisfies the requirement psutil (from versions: none)"


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (OS_ERROR + "[Errno 28] No space left on device", "The disk is full"),
        (
            OS_ERROR + "[WinError 5] Access is denied: 'C:\\\\Slicer\\\\lib\\\\x.py'",
            "Slicer's folder cannot be written",
        ),
        (OS_ERROR + "[WinError 5] Access is denied: 'C:\\\\Slicer\\\\torch\\\\_C.pyd'", "A file is in use"),
        (
            OS_ERROR
            + "[Errno 2] No such file or directory: 'C:\\\\a'\nHINT: This error might have occurred since this "
            "system does not have Windows Long Path support enabled.",
            "A path is too long for Windows",
        ),
        (
            RETRYING
            + "'NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection object>: Failed to establish "
            "a new connection: [Errno -3] Temporary failure in name resolution')'\n" + NO_VERSION,
            "no connection to the package server",
        ),
        (
            RETRYING + "'SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify "
            "failed: self signed certificate in certificate chain'))'\n" + NO_VERSION,
            "A certificate could not be checked",
        ),
        (
            RETRYING + "'ProxyError('Cannot connect to proxy.', OSError('Tunnel connection failed: 407 Proxy'))'",
            "The proxy refused",
        ),
        (
            "ERROR: Cannot install a and b because these package versions have conflicting dependencies.\n"
            "ERROR: ResolutionImpossible: for help",
            "Another extension needs other versions",
        ),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "A download is damaged"),
        (NO_VERSION + "\nERROR: No matching distribution found for psutil", "no build of a package for this system"),
        ("RuntimeError: The NVIDIA driver on your system is too old (found 10010).", "The NVIDIA driver is too old"),
        (
            "error: subprocess-exited-with-error\nerror: Microsoft Visual C++ 14.0 or greater is required.",
            "would have to be compiled",
        ),
        ("No module named pip", "pip itself is missing"),
        ("ERROR: something new", "The installation failed (ERROR: something new)"),
        ("", "no reason given"),
    ],
)
def test_what_pip_wrote_becomes_one_sentence(output: str, sentence: str) -> None:
    message = explain_failure(output)
    assert sentence in message
    assert "\n" not in message


# --- Slicer's own functions (test doubles with the signatures of 5.10, 5.12 and the PyTorch extension)


def pip_5_10(calls: list[Any], status: int = 0) -> Any:
    def pip_install(requirements: str | list[str]) -> None:
        calls.append(requirements)
        print("Collecting it")
        if status:
            print("ERROR: [Errno 28] No space left on device")
            raise subprocess.CalledProcessError(status, ["pip"], output=None, stderr=None)

    return SimpleNamespace(util=SimpleNamespace(pip_install=pip_install))


def pip_5_12(calls: list[Any]) -> Any:
    def pip_ensure(
        requirements: Any,
        constraints: Any = None,
        skip_packages: Any = None,
        prompt_install: bool = True,
        prompt_restart: bool = True,
        requester: str | None = None,
        skip_in_testing: bool = True,
        show_progress: bool = True,
    ) -> None:
        calls.append((requirements, prompt_install, prompt_restart, requester))

    slicer = pip_5_10(calls)
    slicer.packaging = SimpleNamespace(pip_ensure=pip_ensure)
    return slicer


def test_slicer_5_12_is_asked_through_pip_ensure_without_a_second_question() -> None:
    calls: list[Any] = []
    SlicerPip(pip_5_12(calls)).install(["psutil>=5.9"], [], lambda _: None)
    assert calls == [(["psutil>=5.9"], False, False, "FocusNet Segmentation")]


def test_slicer_5_10_and_wheels_go_through_pip_install() -> None:
    calls: list[Any] = []
    lines: list[str] = []
    SlicerPip(pip_5_10(calls)).install(["psutil>=5.9"], [], lines.append)
    SlicerPip(pip_5_12(calls)).install(["psutil>=5.9"], ["--no-index", "--find-links", "a b"], lines.append)
    assert calls == [["psutil>=5.9"], ["--no-index", "--find-links", "a b", "psutil>=5.9"]]
    assert lines[0] == "Collecting it"


def test_slicers_exception_without_a_reason_gets_the_one_that_was_printed() -> None:
    with pytest.raises(InstallError) as caught:
        SlicerPip(pip_5_10([], status=1)).install(["psutil"], [], lambda _: None)
    assert "The disk is full" in explain_failure(caught.value.output)
    report: InstallReport = installer(SlicerPip(pip_5_10([], status=1))).install([Step("packages", "t", ("psutil",))])
    assert report.message.startswith("The disk is full")


def test_the_pytorch_extension_is_asked_with_a_version_and_without_a_dialog() -> None:
    calls: list[Any] = []

    class Logic:
        def installTorch(
            self,
            askConfirmation: bool = False,
            forceComputationBackend: Any = None,
            torchVersionRequirement: Any = None,
        ) -> object:
            calls.append((askConfirmation, torchVersionRequirement))
            return object()

        def uninstallTorch(self, askConfirmation: bool = False, forceComputationBackend: Any = None) -> None:
            calls.append("uninstall")
            raise OSError("half there")

    PyTorchExtension(Logic()).install(TORCH, False, lambda _: None)
    PyTorchExtension(Logic()).install(TORCH, True, lambda _: None)
    assert calls == [(False, ">=2.2"), "uninstall", (False, ">=2.2")]
    Logic.installTorch = lambda *_, **__: None  # type: ignore[method-assign,assignment]
    with pytest.raises(InstallError):
        PyTorchExtension(Logic()).install(TORCH, False, lambda _: None)
    assert PyTorchExtension.find() is None, "there is no such extension here"


def test_a_complete_machine_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight_module, "installed_version", lambda name: "99")
    monkeypatch.setattr(preflight_module, "models_item", lambda: Item("models", "Models", "ok", "m"))
    everything = preflight(torch=GOOD_TORCH)
    assert everything.ready, [i for i in everything.items if i.level == "missing"]
    assert plan(everything) == []
    assert json.dumps([i.text for i in everything.items])
