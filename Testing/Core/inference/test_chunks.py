"""A scan goes through in chunks: every slice once, peaks over the whole scan, ROIs across borders."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from focusnet.inference.backends import ChunkOutput
from focusnet.inference.chunks import Localizer, chunk_starts, run_chunks
from focusnet.nets.config import NetworkConfig
from focusnet.nets.roi import roi_around

from ..helpers_engine import small_config


class EchoBackend:
    """Test double: features are the CT itself, heat maps are the CT, so that what comes out tells where it came from."""

    name = "echo"
    torch_device = torch.device("cpu")

    def __init__(self) -> None:
        self.chunks: list[int] = []

    def run(self, ct: torch.Tensor) -> ChunkOutput:
        self.chunks.append(ct.shape[0])
        return ChunkOutput(torch.stack([1 - ct, ct]), torch.stack([ct, -ct]), ct[None, None].clone())

    def small_organ(self, organ: str, features: torch.Tensor, ct: torch.Tensor) -> torch.Tensor:
        return features[0, 0]


class ForgetfulBackend(EchoBackend):
    """Test double: uses the memory of its last output again, as OpenVINO does."""

    def __init__(self) -> None:
        super().__init__()
        self.last: ChunkOutput | None = None

    def run(self, ct: torch.Tensor) -> ChunkOutput:
        if self.last is not None:
            assert self.last.heatmaps is not None
            assert self.last.features is not None
            self.last.probabilities[:] = np.nan
            self.last.heatmaps[:] = np.nan
            self.last.features[:] = np.nan
        self.last = super().run(ct)
        return self.last


def scan(slices: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(slices).random((slices, 32, 32)).astype(np.float32))


@pytest.mark.parametrize("slices", [1, 2, 7, 15, 16, 17, 31, 32, 33, 50])
@pytest.mark.parametrize("stride", [16, 8, 5])
def test_every_slice_comes_out_once_and_in_order(slices: int, stride: int) -> None:
    ct = scan(slices)
    backend = EchoBackend()
    slabs = list(run_chunks(ct, backend, small_config(stride=stride), 16))
    together = torch.cat([slab.output.probabilities[1] for slab in slabs])
    np.testing.assert_allclose(together, ct, atol=1e-6)
    assert [slab.start for slab in slabs] == np.cumsum([0, *[s.output.probabilities.shape[1] for s in slabs]]).tolist()[
        :-1
    ]
    assert all(n % small_config().z_multiple == 0 for n in backend.chunks)


def test_the_last_chunk_ends_with_the_scan() -> None:
    assert chunk_starts(90, 40, 40) == [0, 40, 50]
    assert chunk_starts(80, 40, 40) == [0, 40]
    assert chunk_starts(30, 40, 40) == [0]


@pytest.mark.parametrize("peak_z", [0, 3, 13, 15, 16, 18, 30, 33, 46, 49])
@pytest.mark.parametrize("backend", [EchoBackend, ForgetfulBackend])
@pytest.mark.parametrize("stride", [16, 8])
def test_the_roi_is_cut_at_the_scan_wide_maximum_also_across_a_chunks_border(
    peak_z: int, stride: int, backend: type[EchoBackend]
) -> None:
    ct = scan(50)
    ct[peak_z, 9, 20] = 5.0
    config = small_config(stride=stride)
    localizer = Localizer(config, (50, 32, 32))
    for slab in run_chunks(ct, backend(), config, 16):
        assert slab.output.probabilities.isfinite().all()
        localizer.add(slab)
    found = localizer.locations["Brainstem"]
    assert found.peak == pytest.approx(5.0)
    assert found.peak_zyx == (peak_z, 9, 20)
    roi = roi_around((peak_z, 9, 20), config.roi_size_zyx, (50, 32, 32))
    assert found.features is not None
    np.testing.assert_allclose(found.features[0, 0].numpy(), ct[roi.inside], atol=1e-6)


def test_a_scan_shorter_than_the_roi_still_has_one() -> None:
    config: NetworkConfig = replace(small_config(), roi_size_zyx=(8, 16, 16))
    localizer = Localizer(config, (5, 32, 32))
    for slab in run_chunks(scan(5), EchoBackend(), config, 16):
        localizer.add(slab)
    features = localizer.locations["Larynx"].features
    assert features is not None
    assert features.shape == (1, 1, 8, 16, 16)
    assert float(features[:, :, 5:].abs().max()) == 0.0
