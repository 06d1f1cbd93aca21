"""A run that is killed, runs out of disk or is resumed wrongly loses nothing, and says in one line what is the matter."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from focusnet.cli.main import main
from focusnet.errors import DatasetError, OutputError
from focusnet.nets.bundle import load_bundle
from focusnet.train.loop.checkpoint import load_checkpoint
from focusnet.train.loop.training_log import append_csv, forget_after
from focusnet.train.run import train_bundle
from focusnet.train.settings import STAGE_ORDER
from focusnet.train.setup.request import TrainRequest
from focusnet.train.setup.run_manifest import read_manifest, write_manifest
from focusnet.train.status import status_text

from ..helpers_dataset import TINY_TOML, write_dataset

posix = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and file size limits are POSIX")


def command(dataset: Path, out: Path, config: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "focusnet", "train", "--dataset", str(dataset), "--out", str(out), "--config", str(config),
        "--device", "cpu", *more,
    ]  # fmt: skip


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def run(*arguments: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), env=environment(), capture_output=True, text=True, check=False, timeout=280, **options
    )


def kill_when(ready: Callable[[], bool], arguments: list[str]) -> bool:
    """Start a training and SIGKILL it as soon as ``ready``. False if it ended before."""
    process = subprocess.Popen(arguments, env=environment(), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while process.poll() is None and not ready():
        time.sleep(0.01)
    alive = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return alive


def at_step(out: Path, stage: str, step: int) -> Callable[[], bool]:
    def reached() -> bool:
        path = out / f"{stage}.csv"
        return path.is_file() and any(int(r.split(",")[0]) >= step for r in path.read_text().splitlines()[1:] if r)

    return reached


def checkpoints(out: Path) -> dict[str, dict[str, torch.Tensor]]:
    names = [f"{stage}.{kind}.safetensors" for stage in STAGE_ORDER for kind in ("last", "best")]
    return {name: load_checkpoint(out / name)[0] for name in names}


def assert_same_run(whole: Path, parts: Path) -> None:
    """Weights, moments of both optimizers, running averages: bit for bit; and the shipped bundle."""
    a, b = checkpoints(whole), checkpoints(parts)
    for name, tensors in a.items():
        assert tensors.keys() == b[name].keys()
        different = [key for key, value in tensors.items() if not torch.equal(value, b[name][key])]
        assert not different, (name, different[:3])
    assert any(key.startswith("optimizer.aae.") for key in a["sos.last.safetensors"]), "the autoencoder's moments"
    hashes = [load_bundle(out / "bundle").manifest["sha256"] for out in (whole, parts)]
    assert hashes[0] == hashes[1]


def steps_of(path: Path) -> list[int]:
    return [int(row.split(",")[0]) for row in path.read_text().splitlines()[1:]]


@posix
def test_a_killed_and_resumed_run_is_bit_for_bit_the_run_that_was_never_killed(
    dataset: Path, tmp_path: Path, config_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """SIGKILL of a real process in the middle of the updates of SOS-Nets and autoencoder."""
    train_bundle(TrainRequest(dataset, tmp_path / "whole", config_file=config_file, device="cpu"))
    assert kill_when(at_step(tmp_path / "parts", "sos", 2), command(dataset, tmp_path / "parts", config_file))
    assert not (tmp_path / "parts" / "bundle").exists()
    caplog.set_level(logging.INFO, "focusnet.train")
    train_bundle(TrainRequest(dataset, tmp_path / "parts", config_file=config_file, resume=True, device="cpu"))
    assert any(line.startswith("sos: resumed at step") for line in caplog.messages)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    for stage in STAGE_ORDER:
        assert steps_of(tmp_path / "parts" / f"{stage}.csv") == [2, 4, 6], "no row twice, none missing"


@posix
@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_killed_again_and_again_at_any_moment_it_is_still_the_same_run(
    dataset: Path, tmp_path: Path, config_file: Path
) -> None:
    assert run(dataset, tmp_path / "whole", config_file).returncode == 0
    parts = tmp_path / "parts"
    arguments = command(dataset, parts, config_file, "--resume")
    moments = [
        lambda: parts.is_dir(),
        lambda: (parts / "snet.last.safetensors.partial").exists(),
        at_step(parts, "snet", 4),
        lambda: (parts / "sol.best.safetensors").exists(),
        at_step(parts, "aae", 2),
        lambda: (parts / "sos.last.safetensors.partial").exists() or (parts / "sos.last.safetensors").exists(),
        at_step(parts, "joint", 2),
        at_step(parts, "joint", 4),
        lambda: (parts / "bundle").exists(),
    ]
    killed = [kill_when(moment, arguments) for moment in moments]
    assert sum(killed) >= 7
    assert run(dataset, parts, config_file, "--resume").returncode == 0
    assert_same_run(tmp_path / "whole", parts)


@posix
def test_a_full_disk_ends_in_one_clear_line_and_the_last_good_checkpoint(
    dataset: Path, tmp_path: Path, config_file: Path
) -> None:
    """Files may not grow beyond a limit that S-Net's first checkpoint does not reach and the autoencoder's does."""
    import resource

    train_bundle(TrainRequest(dataset, tmp_path / "out", config_file=config_file, stages=("snet",)))
    good = (tmp_path / "out" / "snet.last.safetensors").stat()
    config_file.write_text(TINY_TOML.replace("steps = 6", "steps = 8"))
    limit = good.st_size // 2
    full = run(
        dataset, tmp_path / "out", config_file, "--resume", "--stages", "snet",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    assert full.returncode == 2
    last = full.stderr.strip().splitlines()[-1]
    assert last.startswith("focusnet: The checkpoint")
    assert "last good one is kept. Free some space and resume." in last
    assert load_checkpoint(tmp_path / "out" / "snet.last.safetensors")[1]["step"] == 6
    assert not list((tmp_path / "out").glob("*.partial"))
    train_bundle(TrainRequest(dataset, tmp_path / "out", config_file=config_file, stages=("snet",), resume=True))
    assert load_checkpoint(tmp_path / "out" / "snet.last.safetensors")[1]["step"] == 8


def test_a_log_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no checkpoint is lost"):
        append_csv(tmp_path / "missing" / "a.csv", {"step": 1})


def test_a_torn_row_and_steps_that_will_be_taken_again_leave_the_log(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("step,loss\n2,0.5\n4,0.4\n6,0.3\n8")
    forget_after(path, 4)
    assert path.read_text() == "step,loss\n2,0.5\n4,0.4\n"
    forget_after(path, 0)
    assert not path.exists()


@pytest.fixture(scope="module")
def finished(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of S-Net alone, which the tests below look at and never change."""
    out = tmp_path_factory.mktemp("run") / "out"
    config = out.parent / "tiny.toml"
    config.write_text(TINY_TOML)
    train_bundle(TrainRequest(dataset, out, config_file=config, stages=("snet",), device="cpu"))
    return out


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("width = 0.125", "width = 0.25", "network.width was 0.125, is 0.25"),
        ("ema_decay = 0.9", "ema_decay = 0.5", "settings.snet.ema_decay was 0.9, is 0.5"),
        ("mirror = true", "mirror = false", "augmentation.mirror was True, is False"),
    ],
)
def test_a_resume_with_another_configuration_is_refused_and_says_what_differs(
    before: str, after: str, words: str, finished: Path, dataset: Path, config_file: Path
) -> None:
    config_file.write_text(TINY_TOML.replace(before, after))
    record = (finished / "training.json").read_bytes()
    with pytest.raises(DatasetError, match=words) as caught:
        train_bundle(
            TrainRequest(dataset, finished, config_file=config_file, stages=("snet",), resume=True, device="cpu")
        )
    assert "\n" not in str(caught.value)
    assert str(caught.value).count(", is ") == 1, "only what differs is named"
    assert (finished / "training.json").read_bytes() == record


def test_a_resume_on_other_data_is_refused(finished: Path, tmp_path: Path, config_file: Path) -> None:
    other = write_dataset(tmp_path / "other", train=2)
    with pytest.raises(DatasetError, match=r"data was 3 cases, \w+, is 2 cases"):
        train_bundle(
            TrainRequest(other, finished, config_file=config_file, stages=("snet",), resume=True, device="cpu")
        )


def test_a_resume_under_other_code_says_so_and_more_steps_are_allowed(
    dataset: Path, tmp_path: Path, config_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    train_bundle(TrainRequest(dataset, out, config_file=config_file, stages=("snet",)))
    write_manifest(out, {**read_manifest(out), "code": "0.0.1 (abc)"})
    train_bundle(
        TrainRequest(dataset, out, config_file=config_file, stages=("snet",), resume=True, settings={"steps": 8})
    )
    assert any("was started by focusnet 0.0.1 (abc), this is" in line for line in caplog.messages)
    assert load_checkpoint(out / "snet.last.safetensors")[1]["step"] == 8


def test_a_resume_with_nothing_to_resume_starts(
    dataset: Path, tmp_path: Path, config_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A run that was killed while it still read its data has left nothing."""
    caplog.set_level(logging.INFO, "focusnet.train")
    train_bundle(TrainRequest(dataset, tmp_path / "out", config_file=config_file, stages=("snet",), resume=True))
    assert any("holds no checkpoint yet" in line for line in caplog.messages)


def test_status_reads_files_only(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = status_text(finished)
    assert "snet   done    step 6 of 6, loss" in text
    assert re.search(r"snet .*, validation: mean Dice 0\.\d{4} at step 6", text)
    assert f"bundle {finished / 'bundle'}" in text
    assert main(["train", "--status", str(finished)]) == 0
    assert "step 6 of 6" in capsys.readouterr().out
    record = read_manifest(finished)
    half = tmp_path / "half"
    write_manifest(half, {**record, "settings": {"snet": {"steps": 100}, "sol": {"steps": 100}}})
    (half / "snet.csv").write_text("step,loss,seconds_per_step\n40,0.5,3.0\n60,0.4,3.0\n80,0.3")
    text = status_text(half)
    assert " 60 %   step 60 of 100, loss 0.4000, 3.0 s/step, 2 min left in this stage" in text
    assert "sol    waiting, 100 steps" in text
    (half / "sol.csv").write_text("step,loss,seconds_per_step\n120,0.5,3.0\n")
    (half / "sol.validation.csv").write_text("step,score,Brainstem_mm\n100,-14.62,14.62\n")
    text = status_text(half)
    assert "sol    done    step 120 of 120" in text  # it had more before it was resumed with fewer
    assert "validation: 14.6 mm from the organs' centres at step 100" in text
    assert main(["train", "--status", str(tmp_path)]) == 2
    assert "is no training run" in capsys.readouterr().err


def test_train_without_a_data_set_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--out", "x"]) == 2
    assert (
        capsys.readouterr().err.strip() == "focusnet: focusnet train needs --dataset and --out (or --status DIR alone)."
    )
