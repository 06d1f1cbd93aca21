"""Training in the background: real processes. ``focusnet train`` itself where torch is there, a script in its place elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from focusnet.errors import DatasetError, ModelError
from FocusNetSegmentationLib.process.process_tree import kill_tree, run_is_alive
from FocusNetSegmentationLib.process.training import FocusNetTrainingLogic, TrainingProgress

# A test double of Python with focusnet in it: takes the arguments of ``focusnet train`` and behaves as MODE says.
DOUBLE = """#!{python}
import os, sys, time
arguments = sys.argv[1:]
assert arguments[:2] == ["-m", "focusnet"], arguments
assert arguments[2] == "train" or (arguments[2] == "finetune" and arguments[4:6] == ["--from", "han7-openkbp"]), arguments
out = arguments[arguments.index("--out") + 1]
mode = open(os.path.join(out, "mode")).read()
print("resumed" if "--resume" in arguments else "new", flush=True)
for name, text in (
    ("training.json", '{{"settings": {{"snet": {{"steps": 100}}, "sol": {{"steps": 40}}}}}}'),
    ("snet.validation.csv", "step,score,Brainstem,Parotid_L\\n50,0.681,0.7271,0.5\\n"),
    ("snet.csv", "step,loss,seconds_per_step\\n25,0.75,1.2\\n50,0.5,1.2\\n"),
):
    with open(os.path.join(out, name + ".new"), "w") as file:
        file.write(text)
    os.replace(file.name, os.path.join(out, name))
open(os.path.join(out, "snet.last.safetensors"), "w").close()
if mode == "finish":
    print("Wrote the bundle there. Try it.", flush=True)
elif mode == "refuse":
    print("focusnet: The loss is nan. Lower the learning rate.", file=sys.stderr)
    sys.exit(2)
elif mode == "crash":
    raise MemoryError
elif mode == "vanish":
    os.kill(os.getpid(), 9)
else:
    time.sleep(600)
"""

pytestmark = pytest.mark.skipif(
    os.name != "posix", reason="the test doubles are scripts with a first line for the shell"
)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "dataset.json").write_text("{}")
    return folder


@pytest.fixture
def logic(tmp_path: Path) -> Iterator[FocusNetTrainingLogic]:
    double = tmp_path / "python-double"
    double.write_text(DOUBLE.format(python=sys.executable))
    double.chmod(0o755)
    made = FocusNetTrainingLogic(str(double), tmp_path / "settings")
    yield made
    for progress in made.list_runs():
        kill_tree(None, made.find(progress.out).mark)


def out_folder(tmp_path: Path, mode: str, name: str = "run") -> Path:
    out = tmp_path / name
    out.mkdir(exist_ok=True)
    (out / "mode").write_text(mode)
    return out


def wait(
    logic: FocusNetTrainingLogic, out: Path, *states: str, step: int = 0, timeout_s: float = 15
) -> TrainingProgress:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        progress = logic.progress(out)
        if progress.state in states and progress.step >= step:
            return progress
        time.sleep(0.05)
    raise AssertionError(f"{logic.progress(out)}\n{logic.log(out)}")


def test_start_returns_at_once_and_progress_tells_where_it_stands(
    logic: FocusNetTrainingLogic, dataset: Path, tmp_path: Path
) -> None:
    out = out_folder(tmp_path, "run")
    started = time.monotonic()
    logic.start(dataset, out)
    assert time.monotonic() - started < 1.0
    progress = wait(logic, out, "running", step=50)
    wait_for_scores = time.monotonic() + 5
    while not progress.scores and time.monotonic() < wait_for_scores:
        progress = logic.progress()
    assert (progress.stage, progress.step, progress.steps, progress.loss, progress.minutes_left) == (
        "snet",
        50,
        100,
        0.5,
        1,
    )
    assert progress.scores == {"score": 0.681, "Brainstem": 0.7271, "Parotid_L": 0.5}
    assert "snet step 50 of 100" in str(progress)


def test_stop_leaves_no_process_and_resume_goes_on(logic: FocusNetTrainingLogic, dataset: Path, tmp_path: Path) -> None:
    out = out_folder(tmp_path, "run")
    run = logic.start(dataset, out, preset="authors", stages=["snet"], more=["--init", "han7-openkbp"])
    assert run.arguments(resume=False)[-4:] == ["--stages", "snet", "--init", "han7-openkbp"]
    wait(logic, out, "running", step=50)
    stopped = logic.stop()
    assert stopped.state == "stopped"
    assert not run_is_alive(run.mark)
    again = logic.resume()
    assert (again.preset, again.stages, again.dataset) == ("authors", ("snet",), dataset)
    assert again.arguments(resume=True) == [*run.arguments(resume=False), "--resume"]
    deadline = time.monotonic() + 15
    while not logic.log() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert logic.log().startswith("resumed"), "the log since the last start"
    assert wait(logic, out, "running").step == 50, "how far it had come is told before its next report"
    assert "new" in (out / "train.log").read_text().splitlines(), "nothing that was written before is lost"


def test_a_run_survives_the_slicer_that_started_it(logic: FocusNetTrainingLogic, dataset: Path, tmp_path: Path) -> None:
    out = out_folder(tmp_path, "run")
    code = f"""
        from FocusNetSegmentationLib.process.training import FocusNetTrainingLogic
        import os, signal
        FocusNetTrainingLogic({logic.python!r}, {str(logic.folder)!r}).start({str(dataset)!r}, {str(out)!r})
        os.killpg(0, signal.SIGKILL)  # Slicer and all that the terminal or the session manager takes with it
    """
    path = os.pathsep.join(p for p in sys.path if p)
    environment = {**os.environ, "PYTHONPATH": path}
    code = textwrap.dedent(code)
    subprocess.run([sys.executable, "-c", code], env=environment, start_new_session=True, check=False)
    assert wait(logic, out, "running", step=50).state == "running"
    assert [p.out for p in logic.list_runs()] == [out], "another Slicer finds it"
    assert logic.stop(out).state == "stopped", "and can stop it"


@pytest.mark.parametrize(
    ("mode", "state", "text"),
    [
        ("finish", "finished", ""),
        ("refuse", "failed", "The loss is nan. Lower the learning rate."),
        ("crash", "failed", "The computer ran out of memory"),
        ("vanish", "interrupted", "resume() goes on"),
    ],
)
def test_how_a_run_ended_is_told_in_a_sentence(
    mode: str, state: str, text: str, logic: FocusNetTrainingLogic, dataset: Path, tmp_path: Path
) -> None:
    out = out_folder(tmp_path, mode)
    logic.start(dataset, out)
    progress = wait(logic, out, "finished", "failed", "interrupted")
    assert progress.state == state
    assert text in progress.message
    assert progress.step == 50, "how far it came is still told"


def test_runs_are_listed_the_newest_last(logic: FocusNetTrainingLogic, dataset: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        logic.start(dataset, out_folder(tmp_path, "finish", name))
        wait(logic, tmp_path / name, "finished")
    assert [(p.out.name, p.state) for p in logic.list_runs()] == [("a", "finished"), ("b", "finished")]
    logic.resume(tmp_path / "a")
    assert [p.out.name for p in logic.list_runs()] == ["b", "a"]
    wait(logic, tmp_path / "a", "finished")


def test_what_can_be_refused_is_refused_before_anything_starts(
    logic: FocusNetTrainingLogic, dataset: Path, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match="No training run is known"):
        logic.progress()
    with pytest.raises(DatasetError, match=r"missing is no folder; .* in any layout of docs/datasets\.md"):
        logic.start(tmp_path / "missing", tmp_path / "run")
    with pytest.raises(DatasetError, match="does not exist; give a TOML file"):
        logic.start(dataset, tmp_path / "run", config="no.toml")
    with pytest.raises(DatasetError, match="is no training run"):
        logic.progress(tmp_path)
    out = out_folder(tmp_path, "run")
    logic.start(dataset, out)
    with pytest.raises(DatasetError, match="going on already"):
        logic.start(dataset, out)
    wait(logic, out, "running", step=50)
    while not (out / "snet.last.safetensors").exists():
        time.sleep(0.02)
    logic.stop()
    with pytest.raises(DatasetError, match="resume it or choose another folder"):
        logic.start(dataset, out)
    with pytest.raises(ModelError, match=r"no bundle yet \(stopped\)"):
        logic.register()
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="cannot be started"):
        logic.start(dataset, tmp_path / "file" / "run")


def test_a_data_set_in_any_layout_is_left_to_the_command_to_judge(logic: FocusNetTrainingLogic, tmp_path: Path) -> None:
    """A folder of patients with an image and a mask for each organ, as PDDCA has it: there is no dataset.json."""
    (tmp_path / "pddca" / "0522c0001" / "structures").mkdir(parents=True)
    logic.start(tmp_path / "pddca", out_folder(tmp_path, "finish"))
    assert wait(logic, tmp_path / "run", "finished").stage == "snet"


def test_a_run_that_still_reads_its_data_has_no_stage_yet(
    logic: FocusNetTrainingLogic, dataset: Path, tmp_path: Path
) -> None:
    out = out_folder(tmp_path, "run")
    logic.start(dataset, out)
    wait(logic, out, "running", step=50)
    logic.stop()
    (out / "training.json").unlink()
    progress = logic.progress(out)
    assert (progress.stage, progress.step, progress.scores) == ("", 0, {})
    assert str(progress).startswith("run: stopped; resume()")


@pytest.mark.slow
def test_a_real_training_is_started_resumed_and_registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="training needs torch")
    from ...Core.helpers_dataset import TINY_TOML, write_dataset

    monkeypatch.setenv("FOCUSNET_MODELS", str(tmp_path / "models"))
    dataset = write_dataset(tmp_path / "data")
    config = tmp_path / "tiny.toml"
    config.write_text(
        TINY_TOML.replace("steps = 6", "steps = 4000").replace("validate_every = 3", "validate_every = 4000")
    )
    logic = FocusNetTrainingLogic(sys.executable)
    out = tmp_path / "out"
    logic.start(dataset, out, config=config, stages=["snet"])
    try:
        assert wait(logic, out, "running", "failed", step=2, timeout_s=120).state == "running"
        stopped = logic.stop()
        assert stopped.state == "stopped"
        config.write_text(TINY_TOML.replace("steps = 6", f"steps = {stopped.step + 4}"))
        logic.resume()
        assert wait(logic, out, "finished", "failed", timeout_s=120).state == "finished", logic.log()
        assert "snet: resumed at step" in logic.log(lines=1000)
        assert logic.register() == "tiny"
        assert json.loads((tmp_path / "models" / "tiny" / "bundle.json").read_text())["name"] == "tiny"
        with pytest.raises(ModelError, match="installed already"):
            logic.register()
        assert logic.register(overwrite=True) == "tiny"
    finally:
        kill_tree(None, logic.find(out).mark)


def test_a_fine_tuning_that_was_killed_goes_on_with_the_same_model_and_data(
    logic: FocusNetTrainingLogic, dataset: Path, tmp_path: Path
) -> None:
    out = out_folder(tmp_path, "vanish")
    logic.fine_tune(dataset, "han7-openkbp", out, more=["--minutes", "3"])
    wait(logic, out, "interrupted")
    out_folder(tmp_path, "finish")
    logic.resume(out)
    wait(logic, out, "finished")
    words = logic.find(out).arguments(resume=True)
    assert words == [
        "finetune", str(dataset), "--from", "han7-openkbp", "--out", str(out), "--minutes", "3", "--resume"
    ]  # fmt: skip
    with pytest.raises(DatasetError, match="is no folder"):
        logic.fine_tune(tmp_path / "nowhere")
