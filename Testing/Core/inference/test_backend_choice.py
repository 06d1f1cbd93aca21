"""auto takes the backend that was measured to be quicker on this computer with this model, and finds out for a few per cent of the time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from focusnet.inference import backend_choice
from focusnet.inference.backend_choice import (
    MEASURE_SHARE,
    USUAL_MEASUREMENT_S,
    BackendRecord,
    cache_file,
    choose_backend,
    measure,
    note_run,
    read_record,
)
from focusnet.inference.backends import TorchBackend
from focusnet.inference.devices import choose_device
from focusnet.inference.segment import segment
from focusnet.nets.bundle import ModelBundle

from ..helpers_engine import head, random_bundle

CPU = choose_device("cpu", "fp32")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FOCUSNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(backend_choice, "find_spec", lambda name: name)
    monkeypatch.setattr(backend_choice, "_free_bytes", lambda: 2**40)
    return tmp_path / "cache"


@pytest.fixture
def bundle(tmp_path: Path) -> ModelBundle:
    return random_bundle(tmp_path)


def test_openvino_is_taken_where_a_usual_scan_is_quicker_with_its_start() -> None:
    long = BackendRecord(scans=10, chunks=40, seconds=400, torch_s=10, openvino_s=5, start_s=8)
    assert long.choice == "openvino"  # 8 + 4 * 5 against 4 * 10
    short = BackendRecord(scans=10, chunks=20, seconds=40, torch_s=2, openvino_s=1, start_s=8)
    assert short.choice == "torch"  # 8 + 2 against 4
    assert BackendRecord(scans=1, chunks=4, torch_s=10, openvino_s=9.5, start_s=0).choice == "torch", "a tie"
    assert BackendRecord(scans=9, chunks=9, seconds=900).choice == "torch", "nothing is measured yet"


def test_measuring_waits_until_it_costs_a_few_per_cent_of_the_time() -> None:
    record = BackendRecord()
    while not record.due:
        record.scans, record.chunks, record.seconds = record.scans + 1, record.chunks + 4, record.seconds + 30
    assert MEASURE_SHARE * record.seconds >= USUAL_MEASUREMENT_S + 3 * 7.5
    assert record.scans > 5


class Slow:
    """A stand-in for OpenVINO that notes how it is used, or fails."""

    name, torch_device = "openvino", torch.device("cpu")

    def __init__(self, *_: Any) -> None:
        self.runs: list[int] = []

    def run(self, ct: torch.Tensor) -> None:
        self.runs.append(len(ct))

    def small_organ(self, *_: Any) -> Any: ...


def test_a_measurement_is_remembered_and_decides_from_then_on(
    bundle: ModelBundle, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch_backend = TorchBackend.of_bundle(bundle, CPU)
    ct = torch.zeros(40, 32, 32)
    monkeypatch.setattr(backend_choice, "_seconds", _times([10.0, 2.0]))
    monkeypatch.setattr(measure, "__defaults__", (Slow,))
    assert choose_backend(bundle, CPU) == "torch"
    note_run(bundle, CPU, torch_backend, ct, 16, seconds=30.0)
    assert not read_record(bundle, CPU).measured
    note_run(bundle, CPU, torch_backend, torch.zeros(1600, 32, 32), 16, seconds=3000.0)
    record = read_record(bundle, CPU)
    assert (record.scans, record.chunks, record.torch_s, record.openvino_s) == (2, 103, 10.0, 2.0)
    assert choose_backend(bundle, CPU) == "openvino"
    assert choose_backend(bundle, choose_device("cpu", "bf16")) == "torch", "another arithmetic was not measured"
    assert cache_file() == cache / "backends.json"


def _times(values: list[float]) -> Any:
    left = iter(values)

    def seconds(run: Any) -> float:
        run()
        return next(left)

    return seconds


def test_a_backend_that_fails_is_not_taken(bundle: ModelBundle) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no such operation")

    record = BackendRecord(scans=1, chunks=4, seconds=1000)
    measure(record, bundle, CPU, TorchBackend.of_bundle(bundle, CPU), torch.zeros(16, 32, 32), broken)
    assert record.measured
    assert record.choice == "torch"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"x": 1}'])
def test_a_damaged_or_unwritable_cache_is_as_none(bundle: ModelBundle, cache: Path, content: str) -> None:
    cache.mkdir()
    (cache / "backends.json").write_text(content)
    assert choose_backend(bundle, CPU) == "torch"
    note_run(bundle, CPU, TorchBackend.of_bundle(bundle, CPU), torch.zeros(16, 32, 32), 16, 1.0)
    assert read_record(bundle, CPU).scans == 1


def test_without_openvino_nothing_is_asked_or_written(
    bundle: ModelBundle, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_choice, "find_spec", lambda name: None)
    assert segment(head(), bundle, device="cpu").provenance["backend"] == "torch"
    assert not cache.exists()


def test_a_run_that_was_told_its_backend_is_not_noted(bundle: ModelBundle) -> None:
    segment(head(), bundle, device="cpu", precision="fp32", backend="torch")
    assert read_record(bundle, CPU).scans == 0
    segment(head(), bundle, device="cpu", precision="fp32")
    assert read_record(bundle, CPU).scans == 1
