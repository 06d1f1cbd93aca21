"""From a CT node to organ nodes with the real network (random weights) in a real worker process."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from focusnet.phantom.write import phantom
from FocusNetSegmentationLib.process.inference import Callbacks, process
from FocusNetSegmentationLib.process.process_tree import run_is_alive
from FocusNetSegmentationLib.process.worker import SubprocessProcess
from FocusNetSegmentationLib.process.worker_protocol import focusnet_command
from FocusNetSegmentationLib.scene.nodes import organ_segments, provenance_of

from ...paths import ROOT
from ..helpers_inference import Told, ct_node
from ..helpers_nodes import TURNED, World, mask
from ..helpers_worker import worker_python

pytestmark = pytest.mark.usefixtures("temporary_folder")


def bundle(python: str, folder: Path) -> Path:
    """A bundle of random weights, made by the Python that has torch."""
    root = ROOT
    code = f"import sys; sys.path[:0] = [{str(root)!r}, {str(root / 'FocusNetSegmentation')!r}]\n"
    code += f"from pathlib import Path; from Testing.Core.helpers_engine import random_bundle; random_bundle(Path({str(folder)!r}))"
    subprocess.run([python, "-c", code], check=True)
    return folder / "random"


@pytest.mark.slow
def test_the_real_engine_in_a_real_process_from_node_to_node(
    world: World, tmp_path: Path, temporary_folder: Path
) -> None:
    python = worker_python()
    model = bundle(python, tmp_path)
    ct = ct_node(world)
    world.transform(TURNED, ct)
    steps: list[str] = []
    imported = process(
        ct,
        model=str(model),
        device="cpu",
        command=lambda request: focusnet_command(request, python),
        callbacks=Callbacks(on_progress=lambda event: steps.append(event.step)),
    )
    assert "Segmenting all organs" in steps
    assert list(organ_segments(imported.node)) == ["Brainstem", "SpinalCord", "Parotid_R", "Parotid_L", "Larynx"]
    provenance = provenance_of(imported.node)
    assert provenance["model"] == "random"
    assert len(provenance["bundle_sha256"]) == 64
    assert mask(imported.node, "Brainstem").shape == phantom(0, (6.0, 6.0, 6.0))[0].array.shape
    assert list(temporary_folder.iterdir()) == []


@pytest.mark.slow
def test_the_real_engine_is_cancelled_within_two_seconds(world: World, tmp_path: Path, temporary_folder: Path) -> None:
    python = worker_python()
    model = bundle(python, tmp_path)
    ct = world.volume(phantom(0, (2.0, 2.0, 2.0))[0])
    told = Told()
    run = process(
        ct,
        model=str(model),
        device="cpu",
        wait=False,
        callbacks=told.callbacks,
        command=lambda request: focusnet_command(request, python),
        process=SubprocessProcess(),
    )
    deadline = time.monotonic() + 60
    while not told.progress and run.is_running and time.monotonic() < deadline:
        run.worker.process.pump(0.02)
    assert run.is_running, told.ends
    mark = run.worker.process._run
    assert run_is_alive(mark)
    started = time.monotonic()
    run.cancel()
    took = time.monotonic() - started
    print(f"cancelled in {took:.3f} s")
    assert took < 2.0
    assert not run_is_alive(mark)
    assert told.ends == [("cancelled",)]
    assert list(temporary_folder.iterdir()) == []


@pytest.mark.slow
def test_the_packages_that_are_installed_are_enough_to_segment(tmp_path: Path) -> None:
    """What pyproject.toml lists for DICOM, pictures and the terminal is not needed in Slicer: made unimportable here."""
    python = worker_python()
    model = bundle(python, tmp_path)
    blocked = (
        "gdcm",
        "pylibjpeg",
        "openjpeg",
        "matplotlib",
        "tqdm",
        "highdicom",
        "monai",
        "nibabel",
        "slicer",
        "vtk",
        "qt",
    )
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nfor name in {blocked!r}: sys.modules[name] = None\n")
    import SimpleITK as sitk

    volume = phantom(0, (6.0, 6.0, 6.0))[0]
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(volume.geometry.spacing_mm_xyz)
    sitk.WriteImage(image, str(tmp_path / "ct.nrrd"))
    root = ROOT / "FocusNetSegmentation"
    done = subprocess.run(
        [python, "-m", "focusnet", "segment", str(tmp_path / "ct.nrrd"), "-o", str(tmp_path / "o.seg.nrrd"), "--report",
         str(tmp_path / "r.json"), "--model", str(model), "--device", "cpu", "--json-progress"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(root)])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "o.seg.nrrd").is_file()
