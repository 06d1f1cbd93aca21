"""A training that meets a full disk: the log or the picture is lost, not the training; resumed, it is the run that was never disturbed."""

from __future__ import annotations

import errno
import time
from pathlib import Path

import pytest
import torch

from focusnet.cli.main import main
from focusnet.errors import OutputError
from focusnet.nets.bundle import load_bundle
from focusnet.train.loop.checkpoint import load_checkpoint
from focusnet.train.loop.training_log import TrainingLog, append_csv, forget_after

from ..helpers_dataset import TINY_TOML, write_dataset
from ..helpers_disk import files_end_at, on_linux

PICTURES_TOML = TINY_TOML.replace("pictures = false", "pictures = true").replace(
    "checkpoint_every = 2", "checkpoint_every = 4"
)


def train(dataset: Path, out: Path, *more: str) -> int:
    arguments = ["--dataset", str(dataset), "--out", str(out), "--config", str(dataset / "tiny.toml")]
    return main(["train", *arguments, "--stages", "snet", "--device", "cpu", *more])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_dataset(tmp_path_factory.mktemp("data") / "set")
    (folder / "tiny.toml").write_text(PICTURES_TOML)
    return folder


@pytest.fixture(scope="module")
def whole(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert train(dataset, out) == 0
    return out


def assert_same_weights(whole: Path, other: Path) -> None:
    for kind in ("last", "best"):
        a, b = (load_checkpoint(out / f"snet.{kind}.safetensors")[0] for out in (whole, other))
        assert a.keys() == b.keys()
        assert all(torch.equal(value, b[key]) for key, value in a.items())
    assert load_bundle(whole / "bundle").manifest["sha256"] == load_bundle(other / "bundle").manifest["sha256"]


@on_linux
@pytest.mark.parametrize("what", ["snet.validation.csv", "pictures", "tensorboard"])
def test_a_log_or_a_picture_that_cannot_be_written_costs_no_checkpoint(
    what: str,
    dataset: Path,
    whole: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It fails at the validation of step 3; a checkpoint is due at step 4 only."""
    out = tmp_path / "run"
    out.mkdir()
    if what == "tensorboard":
        pytest.importorskip("tensorboard", reason="extra train")
        summary_writer = pytest.importorskip("torch.utils.tensorboard").SummaryWriter
        monkeypatch.setattr(summary_writer, "flush", full_after_the_head(summary_writer.flush))
    else:
        (out / what).symlink_to("/dev/full")  # every write to it fails, and it is no folder
    assert train(dataset, out) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if "focusnet:" in line or "Traceback" in line]
    assert len(said) == 1
    assert what in said[0]
    assert "o checkpoint is lost" in said[0]
    assert load_checkpoint(out / "snet.last.safetensors")[1]["step"] == 3
    if what == "tensorboard":
        monkeypatch.undo()
    else:
        (out / what).unlink()
    assert train(dataset, out, "--resume") == 0
    assert_same_weights(whole, out)


def full_after_the_head(flush):  # type: ignore[no-untyped-def]
    """The disk is full once the file has its head: the first curve's point does not fit."""
    calls: list[object] = []

    def flushed(writer: object) -> None:
        calls.append(writer)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(writer)

    return flushed


def test_a_bundle_that_does_not_fit_is_written_by_resuming(
    dataset: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("focusnet.nets.bundle._write_weights", no_room)
        assert train(dataset, tmp_path / "run") == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(
        f"focusnet: The bundle {tmp_path / 'run' / 'bundle'} cannot be written (No space left on device"
    )
    assert "--resume writes the bundle alone" in last
    assert not (tmp_path / "run" / "bundle").exists()
    assert not [p for p in (tmp_path / "run").iterdir() if p.name.startswith(".")]
    assert train(dataset, tmp_path / "run", "--resume") == 0
    assert_same_weights(whole, tmp_path / "run")


@on_linux
def test_half_a_row_never_stays_in_a_log(tmp_path: Path) -> None:
    path = tmp_path / "snet.csv"
    append_csv(path, {"step": 2, "loss": 0.5})
    with files_end_at(path.stat().st_size + 4), pytest.raises(OutputError, match="no checkpoint is lost"):
        append_csv(path, {"step": 4, "loss": 0.25})
    assert path.read_text().splitlines() == ["step,loss", "2,0.5"]
    with files_end_at(3), pytest.raises(OutputError):
        append_csv(tmp_path / "new.csv", {"step": 4, "loss": 0.25})
    assert not (tmp_path / "new.csv").exists()


def test_a_torn_row_whose_columns_all_have_a_value_leaves_the_log(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("step,loss\n2,0.5\n4,0.4")  # of 0.4375
    forget_after(path, 4)
    append_csv(path, {"step": 6, "loss": 0.3})
    assert path.read_text().splitlines() == ["step,loss", "2,0.5", "6,0.3"]


@on_linux
def test_curves_stay_readable_after_a_point_that_did_not_fit(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The point's half record stays in its file; the resumed run writes another one. The writer's thread prints no traceback."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="extra train")
    first = TrainingLog(tmp_path, "snet", ("S-Net",), 0, 9)
    first.validated(1, {"score": 0.5})
    assert first.trouble is None
    (file,) = (tmp_path / "tensorboard" / "snet").iterdir()
    with files_end_at(file.stat().st_size + 5):
        first.validated(2, {"score": 0.6})
        first.close()
    assert first.trouble is not None
    assert "tensorboard" in str(first.trouble)
    assert "cannot be written (File too large" in str(first.trouble)
    assert "Traceback" not in capfd.readouterr().err
    time.sleep(1.1)  # files are named by the second
    resumed = TrainingLog(tmp_path, "snet", ("S-Net",), 1, 9)
    resumed.validated(3, {"score": 0.7})
    resumed.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard" / "snet")).Reload()
    assert [(e.step, round(e.value, 3)) for e in events.Scalars("validation/score")] == [(1, 0.5), (3, 0.7)]
