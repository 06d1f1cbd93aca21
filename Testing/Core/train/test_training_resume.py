"""What a resumed run remembers beside weights and moments, and how a checkpoint takes the place of the one before it."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from focusnet.train.loop import checkpoint
from focusnet.train.loop.checkpoint import load_checkpoint, save_checkpoint

from ..helpers_toy import STAGE, Places, train_line

FIXTURES = Path(__file__).parent / "fixtures"


def assert_same(a: Path, b: Path) -> None:
    """Tensors and state, bit for bit."""
    (tensors, state), (others, other_state) = load_checkpoint(a), load_checkpoint(b)
    assert state == other_state
    assert tensors.keys() == others.keys()
    assert [key for key, value in tensors.items() if not torch.equal(value, others[key])] == []


@pytest.mark.parametrize("stop_at", [2, 4, 6])
@pytest.mark.parametrize("more", [{}, {"schedule": "cosine"}, {"ema_decay": 0.9}, {"batch": 3, "accumulate": 2}])
def test_the_steps_after_a_resume_are_those_of_the_run_that_was_never_stopped(
    stop_at: int, more: dict[str, Any], tmp_path: Path
) -> None:
    """Crops, their order over three epochs, learning rate, moments, running average: nothing counts from where the process began."""
    whole = train_line(tmp_path / "whole", 8, **more)
    train_line(tmp_path / "parts", stop_at, **more)
    assert_same(whole, train_line(tmp_path / "parts", 8, resume=True, **more))


def test_a_checkpoint_of_an_earlier_version_resumes_into_the_run_that_version_would_have_made(tmp_path: Path) -> None:
    """An earlier version wrote both files, with a running average of its own."""
    shutil.copyfile(FIXTURES / "ema-step-4.safetensors", tmp_path / "line.last.safetensors")
    tensors, state = load_checkpoint(train_line(tmp_path, 8, resume=True, ema_decay=0.9))
    earlier, earlier_state = load_checkpoint(FIXTURES / "ema-step-8.safetensors")
    network, earlier_network = state.pop("config"), earlier_state.pop("config")
    assert state == earlier_state
    assert {key: network[key] for key in earlier_network} == earlier_network, "keys may have been added since"
    assert tensors.keys() == earlier.keys()
    assert "average.line.weight" in tensors
    for name, value in tensors.items():
        torch.testing.assert_close(value, earlier[name], rtol=1e-5, atol=1e-6, msg=name)


class StruckError(Exception):
    """What ends a run in the middle of things."""


@pytest.mark.parametrize("last", [3, 5, 6])
def test_a_run_that_ends_between_two_checkpoints_takes_their_steps_again_and_logs_each_once(
    last: int, tmp_path: Path
) -> None:
    calls = []

    def strike(_: Any) -> dict[str, float]:
        calls.append(1)
        if len(calls) == last:
            raise StruckError
        return {"score": 0.0}

    more = {"validate_every": 1, "checkpoint_every": 2}
    whole = train_line(tmp_path / "whole", 8, **more)
    with pytest.raises(StruckError):
        train_line(tmp_path / "parts", 8, validate=strike, **more)
    assert_same(whole, train_line(tmp_path / "parts", 8, resume=True, **more))
    for log in ("line.csv", "line.validation.csv"):
        steps = [
            [row.split(",")[0] for row in (tmp_path / n / log).read_text().splitlines()] for n in ("whole", "parts")
        ]
        assert steps[0] == steps[1]


def test_a_resumed_run_replaces_the_best_network_only_by_a_better_one(tmp_path: Path) -> None:
    scores = iter([0.9, 0.5, 0.4, 0.95])

    def validate(_: Any) -> dict[str, float]:
        return {"score": next(scores)}

    best = tmp_path / "line.best.safetensors"
    for steps, step_of_best in ((2, 2), (4, 2), (8, 8)):
        train_line(tmp_path, steps, resume=steps > 2, validate=validate, validate_every=2)
        assert load_checkpoint(best)[1]["step"] == step_of_best


def test_the_running_average_is_what_is_scored_and_kept_and_the_steps_go_on_without_it(tmp_path: Path) -> None:
    scored = []

    def validate(model: Any) -> dict[str, float]:
        scored.append(model.line.weight.detach().clone())
        return {"score": float(len(scored))}

    often = train_line(tmp_path / "often", 6, validate=validate, validate_every=1, ema_decay=0.9)
    tensors, _ = load_checkpoint(often)
    assert torch.equal(scored[-1], tensors["average.line.weight"])
    assert not torch.equal(scored[-1], tensors["model.line.weight"])
    best, _ = load_checkpoint(tmp_path / "often" / "line.best.safetensors")
    assert torch.equal(best["model.line.weight"], scored[-1])
    others, _ = load_checkpoint(train_line(tmp_path / "seldom", 6, validate_every=6, ema_decay=0.9))
    assert all(torch.equal(value, others[key]) for key, value in tensors.items())


def test_gradients_that_are_accumulated_are_those_of_one_larger_batch(tmp_path: Path) -> None:
    """The mean, not the sum, which clipping would feel. Without chance: what is drawn depends on the batch that it is drawn for."""
    moments = []
    certain = replace(STAGE, draw=lambda point, *_: Places(torch.tensor([point.place])))
    for name, more in (("batch", {"batch": 6}), ("pieces", {"batch": 2, "accumulate": 3})):
        tensors, _ = load_checkpoint(train_line(tmp_path / name, 1, stage=certain, **more))
        moments.append(tensors["optimizer.line.weight.exp_avg"])
    assert torch.allclose(*moments, rtol=1e-5)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not replace a file that is open")
def test_whoever_has_the_old_checkpoint_open_still_reads_it_whole(tmp_path: Path) -> None:
    """It is replaced in one step and never written into: a process killed while it saves leaves the old one or the new one."""
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, {"x": torch.ones(1000)}, {"step": 1})
    before = path.read_bytes()
    with path.open("rb") as old:
        save_checkpoint(path, {"x": torch.zeros(2000)}, {"step": 2})
        assert old.read() == before
    assert load_checkpoint(path)[1] == {"step": 2}


def test_a_checkpoint_gets_its_name_after_its_bytes_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut there must be a whole file under the name."""
    done, sync, rename = [], checkpoint.sync, os.replace
    monkeypatch.setattr(checkpoint, "sync", lambda path: (done.append("sync"), sync(path)))
    monkeypatch.setattr(checkpoint.os, "replace", lambda a, b: (done.append("name"), rename(a, b)))
    save_checkpoint(tmp_path / "a.safetensors", {"x": torch.ones(2)}, {"step": 1})
    assert done == ["sync", "name"]


def test_what_a_killed_run_left_half_written_is_cleared_away(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    half = tmp_path / "a.safetensors.partial"
    half.mkdir()
    (half / "a.safetensors").write_bytes(b"half")
    save_checkpoint(path, {"x": torch.ones(2)}, {"step": 1})
    assert load_checkpoint(path)[1] == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]
