"""Other arithmetic gives the same contours: OpenVINO, bf16."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from focusnet.errors import InputError
from focusnet.inference.backends import OpenVinoBackend, TorchBackend, make_backend
from focusnet.inference.devices import choose_device, cpu_has_bf16
from focusnet.inference.preprocess import preprocess
from focusnet.inference.segment import segment

from ..helpers_engine import head, random_bundle, small_config


def test_openvino_in_fp32_agrees_with_torch_to_1e_4(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    bundle = random_bundle(tmp_path, small_config(has_sos=True))
    ct, _ = preprocess(head(), bundle.config)
    device = choose_device("cpu", "fp32")
    reference = TorchBackend.of_bundle(bundle, device).run(ct[:16])
    ours = OpenVinoBackend(bundle, device, 16).run(ct[:16])
    assert (reference.probabilities - ours.probabilities).abs().max() < 1e-4
    assert reference.heatmaps is not None
    assert ours.heatmaps is not None
    assert (reference.heatmaps - ours.heatmaps).abs().max() < 1e-4
    by_torch = segment(head(), bundle, device="cpu", precision="fp32").labels
    by_openvino = segment(head(), bundle, device="cpu", precision="fp32", backend="openvino").labels
    assert np.mean(by_torch != by_openvino) < 1e-3


def test_a_backend_that_is_unknown_or_not_installed_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = random_bundle(tmp_path)
    with pytest.raises(InputError, match="auto, torch or openvino"):
        make_backend(bundle, choose_device("cpu"), "tensorrt", 16)
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(InputError, match=r"focusnet\[openvino\]"):
        make_backend(bundle, choose_device("cpu"), "openvino", 16)


@pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU does not multiply bfloat16 itself")
def test_bf16_is_chosen_where_the_cpu_has_it_and_stays_close_to_fp32(tmp_path: Path) -> None:
    assert choose_device("cpu").precision == "bf16"
    bundle = random_bundle(tmp_path)
    ct, _ = preprocess(head(), bundle.config)
    exact = TorchBackend.of_bundle(bundle, choose_device("cpu", "fp32")).run(ct[:16]).probabilities
    rounded = TorchBackend.of_bundle(bundle, choose_device("cpu", "bf16")).run(ct[:16]).probabilities
    assert (exact - rounded).abs().mean() < 0.02
