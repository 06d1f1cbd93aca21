"""Two processes under torchrun's variables take the steps of one process that accumulates two gradients."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from focusnet.datasets.openkbp import OpenKBPDataset
from focusnet.nets.bundle import load_bundle
from focusnet.train.loop.checkpoint import load_checkpoint
from focusnet.train.loop.loop import SINGLE_PROCESS, StageOptions, train_stage
from focusnet.train.loop.process_group import ProcessGroup
from focusnet.train.settings import Settings
from focusnet.train.stages.augment import Augmentation
from focusnet.train.stages.model import TrainingNet
from focusnet.train.stages.stage import Update
from focusnet.train.stages.table import STAGES

from ...paths import ROOT
from ..helpers_dataset import LABELS, TINY_TOML, write_dataset
from ..helpers_engine import small_config
from ..helpers_toy import STAGE, Line, Places, squares, train_line

LEARNING_RATE = 1e-3
without_distributed = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="this torch has no distributed package"
)
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def train(stage: str, dataset: Path, out: Path, accumulate: int, group: ProcessGroup = SINGLE_PROCESS) -> None:
    """Three steps of a stage on cases of which the second lacks an organ: some step has no gradient for it anywhere."""
    config = small_config(organs=tuple(LABELS), small_organs=("Brainstem", "Parotid_L"), has_sos=True, aae_width=0.0625)
    torch.manual_seed(0)
    model = TrainingNet(config, with_aae=True)
    settings = Settings(steps=3, accumulate=accumulate, learning_rate=LEARNING_RATE, seed=1)
    options = StageOptions(config, settings, Augmentation(5.0, 5.0, (0.9, 1.1)), out, group=group)
    train_stage(model, STAGES[stage], list(OpenKBPDataset(dataset).cases("train")), lambda _: {"score": 0.0}, options)


CHILD = """
    import torch, sys
    from pathlib import Path
    from focusnet.train.loop.process_group import join_process_group, leave_process_group
    from Testing.Core.train.test_training_parallel import train
    group, _ = join_process_group(torch.device("cpu"))
    assert group.size == 2
    for stage in ("snet", "sos"):
        train(stage, Path(sys.argv[1]), Path(sys.argv[2]), 1, group)
    leave_process_group(group)
"""


def start_two(arguments: list[str], cwd: Path | None = None) -> None:
    """What torchrun does: the same program twice, with a rank each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    root = str(ROOT)
    processes = []
    for rank in ("0", "1"):
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([p for p in sys.path if p] + [root]),
            **{"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
        }
        processes.append(
            subprocess.Popen([sys.executable, *arguments], env=environment, stderr=subprocess.PIPE, cwd=cwd)
        )
    try:
        for process in processes:
            _, errors = process.communicate(timeout=240)
            assert process.returncode == 0, errors.decode()
    finally:
        for process in processes:
            process.kill()


@without_distributed
def test_two_processes_are_one_that_accumulates_two_gradients(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data")
    for stage in ("snet", "sos"):
        train(stage, dataset, tmp_path / "one", accumulate=2)
    start_two(["-c", textwrap.dedent(CHILD), str(dataset), str(tmp_path / "two")])
    for stage, parts in (("snet", ("snet",)), ("sos", ("sosnets", "aae"))):
        one, _ = load_checkpoint(tmp_path / "one" / f"{stage}.last.safetensors")
        two, _ = load_checkpoint(tmp_path / "two" / f"{stage}.last.safetensors")
        torch.manual_seed(0)
        assert one.keys() == two.keys(), "an organ that no process saw has no moments in either"
        weights = [k for k in one if k.startswith("model.") and not k.endswith(STATISTICS)]
        for key in weights:
            if key.split(".")[1] in parts:
                # Adam turns rounding errors of gradients near 0 into steps: the mean must agree, no weight may be far off
                error = (one[key] - two[key]).abs()
                assert float(error.mean()) < 0.02 * LEARNING_RATE, key
                assert float(error.max()) < 3 * LEARNING_RATE, key
            else:
                assert torch.equal(one[key], two[key]), key
        moments = [k for k in one if k.endswith(".exp_avg")]
        a, b = (torch.cat([t[k].flatten() for k in moments]) for t in (one, two))
        assert torch.nn.functional.cosine_similarity(a, b, dim=0) > 0.9999


def train_lines(out: Path, accumulate: int, group: ProcessGroup = SINGLE_PROCESS) -> None:
    """Two steps, and two more as a resumed run; whoever validates takes its time."""

    def validate(_: Any) -> dict[str, float]:
        time.sleep(1.0)
        return {"score": 0.0}

    for steps in (2, 4):
        train_line(out, steps, steps == 4, validate, group, accumulate=accumulate, batch=2)
    assert load_checkpoint(out / "line.last.safetensors")[1]["step"] == 4, "written before any process goes on"


def train_with_statistics(out: Path, group: ProcessGroup) -> None:
    """Writes the batch statistics that each step of this process began with."""
    seen = []

    def watched(model: Any, sample: Any, context: Any) -> torch.Tensor:
        seen.append(model.line[0].running_mean.tolist())
        return squares(model, sample, context)

    stage = replace(STAGE, updates=(Update("line", ("line",), watched),))
    model = Line()
    model.line = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 1))  # type: ignore[assignment]
    train_line(out / "statistics", 4, group=group, stage=stage, model=model, batch=2)
    (out / f"seen-{group.rank}.json").write_text(json.dumps(seen))


def train_with_gaps(out: Path, accumulate: int, group: ProcessGroup = SINGLE_PROCESS) -> Path:
    """One of the seven points teaches nothing, as a crop does that holds no small organ: whoever draws it has no gradient."""

    def loss(model: Any, sample: Any, context: Any) -> torch.Tensor:
        return squares(model, sample, context) if float(sample.at[0, 0]) else torch.zeros(())

    certain = replace(
        STAGE, updates=(Update("line", ("line",), loss),), draw=lambda p, *_: Places(torch.tensor([p.place]))
    )
    return train_line(out / "gaps", 4, group=group, stage=certain, accumulate=accumulate)


LINES = """
    import torch, sys
    from pathlib import Path
    from focusnet.train.loop.process_group import join_process_group, leave_process_group
    from Testing.Core.train.test_training_parallel import train_lines, train_with_gaps, train_with_statistics
    group, _ = join_process_group(torch.device("cpu"))
    train_lines(Path(sys.argv[1]) / "lines", 2, group)
    train_with_statistics(Path(sys.argv[1]), group)
    train_with_gaps(Path(sys.argv[1]), 1, group)
    leave_process_group(group)
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left that trained a straight line."""
    out = tmp_path_factory.mktemp("two")
    start_two(["-c", textwrap.dedent(LINES), str(out)])
    return out


@without_distributed
def test_two_processes_that_accumulate_and_resume_take_the_very_steps_of_one(two: Path, tmp_path: Path) -> None:
    """A network without batch statistics: each moment is the mean over the same eight crops, however they were shared out."""
    train_lines(tmp_path, 4)
    (one, state), (both, other) = (load_checkpoint(f / "line.last.safetensors") for f in (tmp_path, two / "lines"))
    assert state == other
    assert one.keys() == both.keys()
    for key, value in one.items():
        assert torch.allclose(value, both[key], rtol=1e-4, atol=1e-6), key
    assert sorted(p.name for p in (two / "lines").iterdir()) == sorted(p.name for p in tmp_path.iterdir())
    rows = (two / "lines" / "line.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == ["2", "4"], "only the first process writes"


@without_distributed
def test_a_process_whose_crop_teaches_nothing_does_not_keep_the_others_waiting(two: Path, tmp_path: Path) -> None:
    one, _ = load_checkpoint(train_with_gaps(tmp_path, 2))
    both, _ = load_checkpoint(two / "gaps" / "line.last.safetensors")
    assert all(torch.allclose(value, both[key], rtol=1e-4, atol=1e-6) for key, value in one.items())


@without_distributed
def test_every_step_begins_with_the_same_batch_statistics_in_all_processes(two: Path) -> None:
    """Frozen parts run on them: an autoencoder with statistics of its own in each process would judge shapes differently."""
    first, second = (json.loads((two / f"seen-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert len({tuple(mean) for mean in first}) == 4, "they change from step to step"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_torchrun_trains_all_stages_and_writes_one_bundle(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", train=4)
    (tmp_path / "tiny.toml").write_text(TINY_TOML.replace("steps = 6", "steps = 4"))
    root = ROOT
    finished = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "focusnet", "train",
            "--dataset", str(dataset), "--out", str(tmp_path / "run"), "--config", str(tmp_path / "tiny.toml"), "--device", "cpu",
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([p for p in sys.path if p] + [str(root)])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert load_bundle(tmp_path / "run" / "bundle").config.has_sos
    assert finished.stderr.count("snet step 4/4") == 1, "only the first process speaks"
    assert finished.stdout.count("Wrote the bundle") == 1
    for stage in ("snet", "sol", "aae", "sos", "joint"):
        rows = (tmp_path / "run" / f"{stage}.csv").read_text().splitlines()
        assert [row.split(",")[0] for row in rows[1:]] == ["2", "4"], "only the first process writes"
