"""Scores on the validation split during training, on the network's grid. Final figures come from ``focusnet evaluate`` on the
scans' own grids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..datasets.case import Case
from ..files.atomic_write import ensure_folder
from ..image.organs import find_organ
from ..image.resample import resample_ct, resample_labels
from ..image.segmentation import OrganResult, Segmentation
from ..image.volume import Geometry, Volume
from ..inference.backends import ChunkOutput
from ..inference.chunks import FinishedSlices, Localizer, stream_slices
from ..inference.overlay import SmallOrgan, erase_organ, overlay
from ..inference.preprocess import network_grid, normalise
from ..nets.config import NetworkConfig
from ..nets.focusnet import FocusNet
from .loop.precision import autocast
from .settings import Settings
from .stages.augment import NO_AUGMENTATION
from .stages.shape_samples import Shape, ShapeValidator
from .stages.small_organ_crops import draw_case_shapes
from .stages.stage import StageContext


class Validator:
    """Holds the validation cases on the network's grid. Call it with a model in eval mode.

    ``of``: "dice" (S-Net alone, every organ), "localization" (SOL-Net's error), "small" (the small organs as SOS-Net draws them at
    the heat map's maximum) or "all" (every organ, SOS-Net's laid over S-Net's).
    """

    def __init__(self, cases: Sequence[Case], config: NetworkConfig, precision: str, of: str = "dice") -> None:
        self.config, self.precision, self.of = config, precision, of
        self.items: list[tuple[Case, np.ndarray, np.ndarray, Geometry]] = []
        self._shown: np.ndarray | None = None  # labels of the first case at the last validation
        for case in cases:
            grid = network_grid(case.geometry, np.array(case.center_mm_xyz), config)
            ct = normalise(resample_ct(case.hu, case.geometry, grid), config)
            self.items.append((case, ct, resample_labels(case.labels, case.geometry, grid), grid))

    @torch.no_grad()
    def __call__(self, model: FocusNet) -> dict[str, float]:
        if self.of == "localization":
            return self._localization(model)
        predict = {"dice": self._with_snet, "small": self._with_sosnets, "all": self._with_sosnets}[self.of]
        return self._dice(model, predict, self.config.small_organs if self.of == "small" else self.config.organs)

    def _dice(
        self, model: FocusNet, predict: Callable[[FocusNet, np.ndarray], np.ndarray], organs: Sequence[str]
    ) -> dict[str, float]:
        """Mean Dice of ``organs`` over the cases where each was contoured; the score is the mean over organs."""
        scores: dict[str, list[float]] = {organ: [] for organ in organs}
        for number, (case, ct, labels, _) in enumerate(self.items):
            predicted = predict(model, ct)
            if number == 0:
                self._shown = predicted
            for organ in organs:
                value = self.config.organs.index(organ) + 1
                truth = labels == value
                if organ in case.contoured and truth.any():
                    found = predicted == value
                    scores[organ].append(2 * float((truth & found).sum()) / float(truth.sum() + found.sum()))
        means = {organ: float(np.mean(values)) for organ, values in scores.items() if values}
        return {"score": float(np.mean(list(means.values()))) if means else 0.0, **means}

    def picture(self, path: Path, step: int) -> None:
        """Draw the first case as the last validation contoured it. Nothing where there were no contours (SOL-Net)."""
        if self._shown is None:
            return
        from ..reports.overview import overview

        case, ct, _, grid = self.items[0]
        hu = np.rint(ct * self.config.hu_scale - self.config.hu_offset).astype(np.int16)
        voxel_ml = grid.voxel_ml
        results = []
        for value, name in enumerate(self.config.organs, start=1):
            organ, voxels = find_organ(name), int((self._shown == value).sum())
            if organ is not None:
                results.append(OrganResult(organ=organ, label=value, found=voxels > 0, volume_ml=voxels * voxel_ml))
        source = f"{case.name}, step {step}"
        segmentation = Segmentation(self._shown, grid, tuple(results), {"source": source, "model": source})
        ensure_folder(path.parent)
        overview(Volume(hu, grid, source), segmentation, path, overwrite=True)

    def _backend(self, model: FocusNet) -> _LiveBackend:
        return _LiveBackend(
            model, self.precision, localizes=self.of != "dice", segments_small=self.of in ("small", "all")
        )

    def _slabs(self, ct: np.ndarray, backend: _LiveBackend) -> Iterator[FinishedSlices]:
        """As a scan is segmented, so that what is selected is what will be used: chunks of the same length and overlap."""
        return stream_slices(ct, backend, self.config, self.config.chunk_when_segmenting)

    def _with_snet(self, model: FocusNet, ct: np.ndarray) -> np.ndarray:
        slabs = self._slabs(ct, self._backend(model))
        return np.concatenate([slab.output.probabilities.argmax(axis=0).astype(np.uint8) for slab in slabs])

    def _with_sosnets(self, model: FocusNet, ct: np.ndarray) -> np.ndarray:
        """Every small organ is drawn however low the heat map's maximum: a young net is sure of none."""
        backend = self._backend(model)
        localizer = Localizer(self.config, (ct.shape[0], ct.shape[1], ct.shape[2]))
        small = np.array([self.config.organs.index(o) + 1 for o in self.config.small_organs])
        labels, large_only = np.zeros(ct.shape, np.uint8), np.zeros(ct.shape, np.uint8)
        for slab in self._slabs(ct, backend):
            probabilities = slab.output.probabilities
            place = slice(slab.start, slab.start + probabilities.shape[1])
            labels[place] = probabilities.argmax(axis=0)
            localizer.add(slab)
            probabilities[0] += probabilities[small].sum(axis=0)
            probabilities[small] = 0.0
            large_only[place] = probabilities.argmax(axis=0)
        overlays = []
        for organ, found in localizer.locations.items():
            if found.roi is None or found.features is None:
                continue
            probability = backend.small_organ(organ, found.features, found.roi.crop(torch.from_numpy(ct)[None, None]))
            inside, value = found.roi.inside, self.config.organs.index(organ) + 1
            erase_organ(labels, large_only, value, inside[0] if organ in self.config.long_organs else slice(None))
            overlays.append(SmallOrgan(value, inside, probability[tuple(slice(0, s.stop - s.start) for s in inside)]))
        return overlay(labels, overlays)

    def _localization(self, model: FocusNet) -> dict[str, float]:
        """Mean distance (mm) from the heat-map maximum to the organ's centre; the score is its negative."""
        errors: dict[str, list[float]] = {organ: [] for organ in self.config.small_organs}
        backend = self._backend(model)
        for case, ct, _, grid in self.items:
            localizer = Localizer(self.config, (ct.shape[0], ct.shape[1], ct.shape[2]))
            for slab in self._slabs(ct, backend):
                localizer.add(slab)
            for organ, point in case.centroids_mm_xyz.items():
                if organ in localizer.locations:
                    found = grid.index_to_mm(np.array(localizer.locations[organ].peak_zyx))
                    errors[organ].append(float(np.linalg.norm(found - np.array(point))))
        means = {f"{organ}_mm": float(np.mean(values)) for organ, values in errors.items() if values}
        return {"score": -float(np.mean(list(means.values()))) if means else 0.0, **means}


class _LiveBackend:
    """The network as it stands, under the interface that scans are streamed through. What a stage does not look at is not computed."""

    name = "training"

    def __init__(self, model: FocusNet, precision: str, localizes: bool = False, segments_small: bool = False) -> None:
        self.model, self.precision = model, precision
        self.solnet = model.solnet if localizes else None
        self.keeps_features = segments_small
        self.device = next(model.parameters()).device

    def run(self, ct: np.ndarray) -> ChunkOutput:
        tensor = torch.from_numpy(np.ascontiguousarray(ct))[None, None].to(self.device)
        heatmaps = None
        with autocast(self.device, self.precision):
            features, scores = self.model.snet(tensor)
            if self.solnet is not None:
                heatmaps = self.solnet(features, scores)[0].float().cpu().numpy()
        probabilities = scores[0].float().softmax(dim=0).cpu().numpy()
        return ChunkOutput(probabilities, heatmaps, features if self.keeps_features else None)

    def small_organ(self, organ: str, features: torch.Tensor, ct: torch.Tensor) -> np.ndarray:
        with autocast(self.device, self.precision):
            scores, _ = self.model.sosnets[organ](features, ct.to(self.device))
        return scores[0, 0].float().sigmoid().cpu().numpy()


def make_validator(kind: str, cases: Sequence[Case], config: NetworkConfig, settings: Settings) -> Any:
    """What scores a stage; ``kind`` is the stage's ``validates``."""
    cases = cases[: settings.validate_cases] if settings.validate_cases else cases
    if kind != "reconstruction":
        return Validator(cases, config, settings.precision, kind)
    still = StageContext(config, Settings(roi_jitter_zyx=(0.0, 0.0, 0.0)), NO_AUGMENTATION, torch.ones(1))
    shapes = []
    for case in cases:
        sample = draw_case_shapes(case, still, np.random.default_rng(0))
        for organ, mask in zip(sample.organs, sample.masks, strict=True):
            shapes.append(Shape(case.name, organ, mask[0].numpy()))
    return ShapeValidator(shapes, config)
