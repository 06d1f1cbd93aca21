"""Scores on the validation split during training: Dice on the network's grid and localization error. Final figures come from
``focusnet evaluate`` on the scans' own grids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..config import NetworkConfig
from ..datasets.case import Case
from ..nets.focusnet import FocusNet
from ..nets.solnet import heatmap_peak
from ..preprocess import AIR_HU, network_grid, normalise, resample_ct, resample_labels
from ..stream import chunk_starts
from ..volume import Geometry


class Validator:
    """Holds the validation cases on the network's grid. Call it with a model in eval mode."""

    def __init__(self, cases: Sequence[Case], config: NetworkConfig, precision: str, of: str = "dice") -> None:
        self.config, self.precision, self.of = config, precision, of
        self.items: list[tuple[Case, np.ndarray, np.ndarray, Geometry]] = []
        for case in cases:
            grid = network_grid(case.geometry, np.array(case.center_mm_xyz), config)
            ct = normalise(resample_ct(case.hu, case.geometry, grid), config)
            self.items.append((case, ct, resample_labels(case.labels, case.geometry, grid), grid))

    @torch.no_grad()
    def __call__(self, model: FocusNet) -> dict[str, float]:
        return self._dice(model) if self.of == "dice" else self._localization(model)

    def _dice(self, model: FocusNet) -> dict[str, float]:
        scores: dict[str, list[float]] = {organ: [] for organ in self.config.organs}
        for case, ct, labels, _ in self.items:
            predicted = np.zeros(labels.shape, np.uint8)
            for start, chunk in self._chunks(ct, model):
                with self._autocast(chunk):
                    _, out = model.snet(chunk)
                part = out[0].argmax(dim=0).cpu().numpy().astype(np.uint8)
                predicted[start : start + self.config.chunk_slices] = part[: labels.shape[0] - start]
            for value, organ in enumerate(self.config.organs, start=1):
                truth = labels == value
                if organ in case.contoured and truth.any():
                    found = predicted == value
                    scores[organ].append(2 * float((truth & found).sum()) / float(truth.sum() + found.sum()))
        means = {organ: float(np.mean(values)) for organ, values in scores.items() if values}
        return {"score": float(np.mean(list(means.values()))), **means}

    def _localization(self, model: FocusNet) -> dict[str, float]:
        """Mean distance (mm) from the heat-map maximum to the organ's centre; the score is its negative."""
        assert model.solnet is not None
        errors: dict[str, list[float]] = {organ: [] for organ in self.config.small_organs}
        for case, ct, _, grid in self.items:
            best: dict[str, tuple[float, tuple[int, int, int]]] = {}
            for start, chunk in self._chunks(ct, model):
                with self._autocast(chunk):
                    heat = model.solnet(model.snet(chunk)[0])[0]
                for i, organ in enumerate(self.config.small_organs):
                    value, (z, y, x) = heatmap_peak(heat[i])
                    if organ not in best or value > best[organ][0]:
                        best[organ] = (value, (z + start, y, x))
            for organ, point in case.centroids_mm_xyz.items():
                if organ in best:
                    found = grid.index_to_mm(np.array(best[organ][1]))
                    errors[organ].append(float(np.linalg.norm(found - np.array(point))))
        means = {f"{organ}_mm": float(np.mean(values)) for organ, values in errors.items() if values}
        return {"score": -float(np.mean(list(means.values()))), **means}

    def _autocast(self, chunk: torch.Tensor) -> torch.autocast:
        return torch.autocast(chunk.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def _chunks(self, ct: np.ndarray, model: FocusNet) -> list[tuple[int, torch.Tensor]]:
        device = next(model.parameters()).device
        size = self.config.chunk_slices
        out = []
        for start in chunk_starts(ct.shape[0], size, size):
            part = ct[start : start + size]
            if part.shape[0] < size:
                air = normalise(np.full((size - part.shape[0], *part.shape[1:]), AIR_HU), self.config)
                part = np.concatenate([part, air])
            out.append((start, torch.from_numpy(part)[None, None].to(device)))
        return out
