"""Score a network on the validation split during training, on the network's grid. Final figures come from ``focusnet evaluate`` on the
scans' own grids."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
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
from ..inference.backends import TorchBackend
from ..inference.preprocess import network_grid, normalise
from ..inference.two_stage import Grids, TwoStage
from ..metrics import dice
from ..nets.config import NetworkConfig, with_changes
from ..nets.focusnet import FocusNet
from .heartbeat import tell
from .logger import LOGGER
from .loop.precision import autocast
from .settings import Settings
from .stages.augment import NO_AUGMENTATION
from .stages.shape_samples import Shape, ShapeValidator
from .stages.small_organ_crops import draw_case_shapes
from .stages.stage import StageContext

VALIDATION_SHARE = 0.1  # of a stage's work
STEP_COST = 3.0  # of a training step, in forward passes


class Validator:
    """Holds the validation cases on the network's grid. Call it with a model in eval mode.

    ``of``: "dice" (S-Net alone, every organ), "localization" (SOL-Net's error), "small" (the small organs as SOS-Net draws them at
    the heat map's maximum) or "all" (every organ, SOS-Net's laid over S-Net's).
    """

    def __init__(self, cases: Sequence[Case], config: NetworkConfig, precision: str, of: str = "dice") -> None:
        self.config, self.precision, self.of = config, precision, of
        self.items: list[tuple[Case, np.ndarray, np.ndarray, Geometry]] = []
        self._shown: np.ndarray | None = None  # labels of the first case at the last validation
        for number, case in enumerate(cases, start=1):
            tell(f"preparing validation scan {number} of {len(cases)}")
            grid = network_grid(case.geometry, np.array(case.center_mm_xyz), config)
            ct = normalise(resample_ct(case.hu, case.geometry, grid), config)
            self.items.append((case, ct, resample_labels(case.labels, case.geometry, grid), grid))

    @torch.no_grad()
    def __call__(self, model: FocusNet) -> dict[str, float]:
        if self.of == "localization":
            return self._localization(model)
        return self._dice(model, self.config.small_organs if self.of == "small" else self.config.organs)

    def _dice(self, model: FocusNet, organs: Sequence[str]) -> dict[str, float]:
        """Return the mean Dice of ``organs`` over the cases where each was contoured; the score is the mean over organs."""
        scores: dict[str, list[float]] = {organ: [] for organ in organs}
        for _, organ, value in self._dice_by_case(model, organs):
            scores[organ].append(value)
        means = {organ: float(np.mean(values)) for organ, values in scores.items() if values}
        return {"score": float(np.mean(list(means.values()))) if means else 0.0, **means}

    def _dice_by_case(self, model: FocusNet, organs: Sequence[str]) -> Iterator[tuple[Case, str, float]]:
        """Yield the Dice of each organ that was contoured in a case and has voxels there."""
        two_stage = self._two_stage(model)
        for number, (case, ct, labels, grid) in enumerate(self.items):
            tell(f"validating, scan {number + 1} of {len(self.items)}")
            predicted = two_stage.segment(torch.from_numpy(ct), Grids(grid, grid))[0].cpu().numpy()
            if number == 0:
                self._shown = predicted
            for organ in organs:
                value = self.config.organs.index(organ) + 1
                truth = labels == value
                if organ in case.contoured and truth.any():
                    yield case, organ, dice(predicted == value, truth)

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

    def _two_stage(self, model: FocusNet) -> TwoStage:
        """Return what segments scans, but with the network as it stands: chunks of the same length and overlap, so that what is selected
        is what will be used. What a stage does not look at is not computed.

        Every small organ is drawn however low the maximum of its heat map: early in training all of them are low.
        """
        small = self.config.has_sos and self.of in ("small", "all", "tune")
        device = next(model.parameters()).device
        backend = TorchBackend(
            model,
            autocast=autocast(device, self.precision),
            localizes=small or self.of == "localization",
            segments_small=small,
        )
        config = self.config if small else with_changes(self.config, has_sos=False)
        return TwoStage(config, backend, config.chunk_when_segmenting, smallest_peak=0.0)

    def _localization(self, model: FocusNet) -> dict[str, float]:
        """Return the mean distance (mm) from the heat-map maximum to the organ's centre; the score is its negative."""
        errors: dict[str, list[float]] = {organ: [] for organ in self.config.small_organs}
        two_stage = self._two_stage(model)
        for number, (case, ct, _, grid) in enumerate(self.items, start=1):
            tell(f"validating, scan {number} of {len(self.items)}")
            locations = two_stage.locate(torch.from_numpy(ct))
            for organ, point in case.centroids_mm_xyz.items():
                if organ in locations:
                    found = grid.index_to_mm(np.array(locations[organ].peak_zyx))
                    errors[organ].append(float(np.linalg.norm(found - np.array(point))))
        means = {f"{organ}_mm": float(np.mean(values)) for organ, values in errors.items() if values}
        return {"score": -float(np.mean(list(means.values()))) if means else 0.0, **means}


class TuneValidator(Validator):
    """Scores a fine-tuning: the mean Dice of the organs that people contoured is the score; "kept" is how far the model still agrees with the
    old one on the others. ``approved``: name of a case -> the organs that people contoured in it."""

    def __init__(
        self,
        cases: Sequence[Case],
        config: NetworkConfig,
        precision: str,
        approved: Mapping[str, frozenset[str]],
    ) -> None:
        super().__init__(cases, config, precision, "tune")
        self.approved = approved

    @torch.no_grad()
    def __call__(self, model: FocusNet) -> dict[str, float]:
        corrected: dict[str, list[float]] = {organ: [] for organ in self.config.organs}
        kept: dict[str, list[float]] = {organ: [] for organ in self.config.organs}
        for case, organ, value in self._dice_by_case(model, self.config.organs):
            (corrected if organ in self.approved[case.name] else kept)[organ].append(value)
        means = {organ: float(np.mean(values)) for organ, values in corrected.items() if values}
        agreement = [float(np.mean(values)) for values in kept.values() if values]
        score = float(np.mean(list(means.values()))) if means else 0.0
        return {"score": score, "kept": float(np.mean(agreement)) if agreement else 1.0, **means}


class PlannedValidator:
    """What scores a stage. The scans are prepared when they are first needed: by then it is known how long the stage is, and so how many can be
    afforded (``affordable_scans``).

    ``kind``: the stage's ``validates``. ``name``: of the stage, for messages. ``approved``: for fine-tuning, whose few cases are all
    taken; see ``TuneValidator``.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        cases: Sequence[Case],
        config: NetworkConfig,
        settings: Settings,
        approved: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        self.name, self.kind, self.cases, self.config, self.settings = name, kind, cases, config, settings
        self.approved = approved
        self._validator: Any = None
        self._steps = settings.steps

    def plan(self, steps: int) -> None:
        """Take in how many steps the stage will have. It counts before the first validation only: later scores must compare."""
        self._steps = steps

    def __call__(self, model: Any) -> dict[str, float]:
        return dict(self._made()(model))

    def picture(self, path: Path, step: int) -> None:
        """Draw the first case; see Validator."""
        draw = getattr(self._made(), "picture", None)
        if draw is not None:
            draw(path, step)

    def _made(self) -> Any:
        if self._validator is None:
            settings = self.settings
            count = settings.validate_cases or len(self.cases)
            if self.kind != "tune" and not settings.validate_cases:
                count = affordable_scans(self.cases, self.config, settings, self._steps)
            chosen = most_organs_first(self.cases, self.config)[:count] if count < len(self.cases) else self.cases
            if settings.validate_cases:
                chosen = self.cases[: settings.validate_cases]
            elif len(chosen) < len(self.cases):
                LOGGER.info(
                    f"{self.name}: validating on {len(chosen)} of {len(self.cases)} scans; all of them would take more than a tenth of "
                    f"so short a stage (validate_cases = {len(self.cases)} takes all)."
                )
            self._validator = make_validator(self.kind, chosen, self.config, settings, self.approved)
        return self._validator


def affordable_scans(cases: Sequence[Case], config: NetworkConfig, settings: Settings, steps: int) -> int:
    """Return how many scans a validation may take, at least one, so that all validations of a stage of ``steps`` steps are a tenth of its work.

    Work is counted in voxels that go through the network, a training step's three times: forward once and backward twice. Counted and not
    measured, so that a run that is repeated or resumed validates on the same scans.
    """
    rows, columns = config.crop_size_yx
    crop = (settings.crop_slices or config.chunk_slices) * rows * columns
    trained = STEP_COST * crop * settings.batch * settings.accumulate * steps
    grids = [network_grid(case.geometry, np.array(case.center_mm_xyz), config) for case in cases]
    scan = float(np.mean([np.prod(grid.shape_zyx) for grid in grids]))
    times = max(1, math.ceil(steps / settings.validate_every))
    return min(len(cases), max(1, int(VALIDATION_SHARE * trained / (times * scan))))


def most_organs_first(cases: Sequence[Case], config: NetworkConfig) -> list[Case]:
    """Return the cases with those first in which most of the network's organs are contoured: a few must stand for all."""
    return sorted(cases, key=lambda case: -len(set(case.contoured) & set(config.organs)))


def make_validator(
    kind: str,
    cases: Sequence[Case],
    config: NetworkConfig,
    settings: Settings,
    approved: Mapping[str, frozenset[str]] | None = None,
) -> Any:
    """Return what scores a stage; ``kind`` is the stage's ``validates``. ``approved``: for fine-tuning, see ``TuneValidator``."""
    if kind == "tune":
        return TuneValidator(cases, config, settings.precision, approved or {})
    if kind != "reconstruction":
        return Validator(cases, config, settings.precision, kind)
    still = StageContext(config, Settings(roi_jitter_zyx=(0.0, 0.0, 0.0)), NO_AUGMENTATION, torch.ones(1))
    shapes = []
    for case in cases:
        sample = draw_case_shapes(case, still, np.random.default_rng(0))
        for organ, mask in zip(sample.organs, sample.masks, strict=True):
            shapes.append(Shape(case.name, organ, mask[0].numpy()))
    return ShapeValidator(shapes, config)
