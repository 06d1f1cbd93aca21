"""What a run is selected by is what its bundle then draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from focusnet.datasets.openkbp import OpenKBPDataset
from focusnet.image.resample import resample_ct, resample_labels
from focusnet.inference.backends import TorchBackend
from focusnet.inference.chunks import Localizer, run_chunks
from focusnet.inference.devices import choose_device
from focusnet.inference.preprocess import network_grid, normalise
from focusnet.metrics import dice
from focusnet.nets.config import NetworkConfig
from focusnet.train.validation import Validator

from ..helpers_dataset import LABELS
from ..helpers_engine import random_bundle, random_network, small_config

CHUNKS = ({}, {"segment_slices": 12}, {"stride": 4}, {"segment_slices": 12, "stride": 4})


def config_with(chunks: dict[str, int]) -> NetworkConfig:
    return small_config(organs=tuple(LABELS), small_organs=("Brainstem",), chunk_slices=8, **{"stride": 8, **chunks})


@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("of", ["dice", "localization"])
def test_a_scan_is_scored_in_the_chunks_in_which_it_will_be_segmented(
    dataset: Path, tmp_path: Path, chunks: dict[str, int], of: str
) -> None:
    config = config_with(chunks)
    case = OpenKBPDataset(dataset).case("val", OpenKBPDataset(dataset).patients("val")[0])
    grid = network_grid(case.geometry, np.array(case.center_mm_xyz), config)
    ct, truth = (
        normalise(resample_ct(case.hu, case.geometry, grid), config),
        resample_labels(case.labels, case.geometry, grid),
    )
    assert len(ct) > 12  # more than one chunk

    slabs = list(
        run_chunks(
            torch.from_numpy(ct),
            TorchBackend.of_bundle(random_bundle(tmp_path, config), choose_device("cpu", "fp32")),
            config,
            config.chunk_when_segmenting,
        )
    )
    scores = Validator([case], config, "fp32", of)(random_network(config))

    if of == "dice":
        drawn = torch.cat([slab.output.probabilities.argmax(dim=0) for slab in slabs]).numpy()
        expected = {
            organ: dice(drawn == i, truth == i)
            for i, organ in enumerate(config.organs, start=1)
            if organ in case.contoured
        }
        assert {organ: scores[organ] for organ in expected} == pytest.approx(expected)
        assert max(expected.values()) > 0
    else:
        localizer = Localizer(config, (ct.shape[0], ct.shape[1], ct.shape[2]))
        for slab in slabs:
            localizer.add(slab)
        place_mm = grid.index_to_mm(np.array(localizer.locations["Brainstem"].peak_zyx))
        error_mm = float(np.linalg.norm(place_mm - np.array(case.centroids_mm_xyz["Brainstem"])))
        assert scores["Brainstem_mm"] == pytest.approx(error_mm)
        assert scores["score"] == pytest.approx(-error_mm)
