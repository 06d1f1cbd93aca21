"""What a run leaves to look at: TensorBoard's curves where it is installed, pictures, a live line on a terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from focusnet.train.logger import LOGGER, messages_on_stderr, silent_unless
from focusnet.train.loop.training_log import TrainingLog
from focusnet.train.run import train_bundle
from focusnet.train.setup.request import TrainRequest

from ..helpers_dataset import TINY_TOML, write_dataset


def test_curves_go_to_tensorboard_where_it_is_installed(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="extra train")
    training_log = TrainingLog(tmp_path, "sos", ("SOS-Net", "AAE"), 0, 4)
    for step, loss in ((1, 3.0), (2, 2.0)):
        training_log.add("SOS-Net", loss)
        training_log.add("AAE", loss / 2)
        training_log.report(step)
    training_log.validated(2, {"score": 0.5, "Larynx": 0.25})
    training_log.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard" / "sos")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss/SOS-Net")] == [(1, 3.0), (2, 2.0)]
    assert [(e.step, e.value) for e in events.Scalars("loss/AAE")] == [(1, 1.5), (2, 1.0)]
    assert [(e.step, e.value) for e in events.Scalars("validation/Larynx")] == [(2, 0.25)]


def test_a_run_needs_no_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    training_log = TrainingLog(tmp_path, "snet", ("S-Net",), 0, 4)
    training_log.add("S-Net", 1.0)
    training_log.report(1)
    assert (tmp_path / "snet.csv").read_text().startswith("step,loss,seconds_per_step\n1,1.0,")
    assert not (tmp_path / "tensorboard").exists()


def test_a_terminal_shows_a_live_line_with_the_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with messages_on_stderr():
        training_log = TrainingLog(tmp_path, "snet", ("S-Net",), 2, 4)
        for step in (3, 4):
            training_log.add("S-Net", 0.125)
            training_log.tick(step)
        training_log.report(4)
        training_log.close()
    shown = capsys.readouterr().err
    assert "4/4" in shown
    assert "snet step 4/4: loss 0.1250" in shown


def test_messages_go_to_stderr_only_while_they_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with messages_on_stderr():
        LOGGER.info("snet step 1")
        LOGGER.warning("p2: empty contour")
        with silent_unless(False):
            LOGGER.warning("said by the second of two processes")
        LOGGER.info("snet step 2")
    LOGGER.info("a script that has not asked")
    assert capsys.readouterr().err == "snet step 1\nwarning: p2: empty contour\nsnet step 2\n"


@pytest.mark.slow
def test_every_validation_leaves_a_picture_of_the_first_case(tmp_path: Path) -> None:
    dataset, config = write_dataset(tmp_path / "data"), tmp_path / "tiny.toml"
    config.write_text(TINY_TOML.replace("pictures = false", "pictures = true"))
    train_bundle(TrainRequest(dataset, tmp_path / "run", config_file=config, stages=("snet", "sol")))
    pictures = sorted((tmp_path / "run" / "pictures").iterdir())
    assert [p.name for p in pictures] == ["snet-000003.png", "snet-000006.png"]
    image: Any = pytest.importorskip("matplotlib.image")
    assert np.ptp(image.imread(pictures[0])[..., :3]) > 0.5
