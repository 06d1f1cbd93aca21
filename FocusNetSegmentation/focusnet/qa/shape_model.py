"""Score a small organ's shape with the shape autoencoder: how well it is reconstructed, and how far its code lies from
those of real shapes.

The paper uses the adversarial autoencoder in training (section 3.3); here it reads finished contours. Torch is imported on use.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ModelError
from ..image.label_boxes import Box
from ..image.organs import without_side
from ..image.volume import Geometry
from ..metrics import dice, surface_distances
from ..nets.bundle import ModelBundle, find_bundle, load_bundle
from ..nets.shape_box import ShapeBox, cut, paste, paste_part
from .measure import Measured
from .organ_scores import HIGHEST, Score
from .reference_statistics import LIMIT_SD

if TYPE_CHECKING:
    from ..nets.shape_autoencoder import ShapeAutoencoder

DEFAULT = "shapes-tcia-oars"  # small organs: scored, and given back as shape priors
LARGE = "shapes-large"  # large organs: given back as shape priors


@dataclass(frozen=True)
class LogNormal:
    """Distribution of a positive quantity among real shapes: mean and standard deviation of its logarithm."""

    mean: float
    sd: float

    def severity(self, value: float) -> float:
        """Return 0 up to the median and 1 at LIMIT_SD standard deviations beyond it."""
        return max(0.0, (math.log(max(value, 1e-6)) - self.mean) / (LIMIT_SD * self.sd))

    def percentile(self, value: float) -> float:
        """Return the percentile of ``value``, 0.1 to 99.9."""
        z = (math.log(max(value, 1e-6)) - self.mean) / self.sd
        return float(min(99.9, max(0.1, 50 * (1 + math.erf(z / math.sqrt(2))))))

    def at(self, percent_sd: float) -> float:
        """Return the value that lies ``percent_sd`` standard deviations above the median."""
        return math.exp(self.mean + percent_sd * self.sd)


@dataclass(frozen=True)
class LatentSpace:
    """Codes of real shapes of one organ in a reduced space.

    ``center`` (latent,), ``components`` (k, latent), ``sd`` (k,): standard deviations along them. ``rest_sd``: standard deviation
    of the rest.
    """

    center: np.ndarray
    components: np.ndarray
    sd: np.ndarray
    rest_sd: float

    def distance(self, code: np.ndarray) -> float:
        """Return the Mahalanobis distance of a code (latent,), per dimension: in the reduced space, plus what does not fit into it."""
        d = code - self.center
        reduced = self.components @ d
        rest = float(np.sqrt(max(d @ d - reduced @ reduced, 0.0)))
        return float(np.sqrt((((reduced / self.sd) ** 2).sum() + (rest / self.rest_sd) ** 2) / (len(self.sd) + 1)))


@dataclass(frozen=True)
class Reconstruction:
    """One organ and what the autoencoder makes of it.

    ``mask`` (bool) and ``reconstruction`` (probability), both (d, h, w) in ``box``; ``code`` (latent,).
    """

    box: ShapeBox
    mask: np.ndarray
    reconstruction: np.ndarray
    code: np.ndarray

    @property
    def dsc(self) -> float:
        """Return the DSC of mask and reconstruction."""
        return dice(self.mask, self.reconstruction >= 0.5)

    @property
    def surface_mm(self) -> float:
        """Return the mean surface distance in mm; the box's diagonal if the reconstruction is empty."""
        mean = surface_distances(self.mask, self.reconstruction >= 0.5, self.box.spacing_mm_zyx).mean_mm
        return (
            mean
            if math.isfinite(mean)
            else float(np.linalg.norm(np.multiply(self.box.size_zyx, self.box.spacing_mm_zyx)))
        )


class ShapeModel:
    """A shape bundle with its network. Torch and the weights are loaded on first use."""

    def __init__(self, bundle: ModelBundle) -> None:
        self.bundle = bundle
        table: Mapping[str, Any] = bundle.manifest["shape_statistics"]
        self.latent = {organ: _latent(row["latent"]) for organ, row in table.items()}
        self.real: dict[str, dict[str, LogNormal]] = {
            organ: {key: LogNormal(*row["real"][key]) for key in ("loss", "surface_mm", "distance")} for organ, row in table.items()
        }  # fmt: skip
        self.spacing_mm_zyx = {
            organ: tuple(spacing) for organ, spacing in bundle.manifest.get("box_spacing_mm_zyx", {}).items()
        }  # of organs that have a grid of their own, so that they fit into the box
        self._scores = bool(bundle.manifest.get("scores", True))
        self._network: ShapeAutoencoder | None = None
        self._known: dict[tuple[Any, ...], Reconstruction] = {}

    def knows(self, organ: str) -> bool:
        """Return whether the shape model scores this organ, of either side."""
        return self._scores and self.rebuilds(organ)

    def rebuilds(self, organ: str) -> bool:
        """Return whether the shape model was trained on this organ, of either side, so that it has a shape prior of it."""
        return without_side(organ) in self.latent

    @property
    def organs(self) -> tuple[str, ...]:
        """Return the names of the organs that it gives back."""
        return tuple(organ.name for organ in self.bundle.organs if self.rebuilds(organ.name))

    def reconstruct(self, m: Measured, geometry: Geometry) -> Reconstruction:
        """Return a measured organ in its box and its reconstruction. ``geometry``: of the upright scan that ``m`` was measured on."""
        spacing = self.spacing_mm_zyx.get(without_side(m.name))
        box = ShapeBox.around(m.center_mm_xyz, m.name, self.bundle.config, spacing)
        start = geometry.index_to_mm(np.array([s.start for s in m.box]))
        part = Geometry(m.mask.shape, geometry.spacing_mm_xyz, tuple(start), geometry.direction_xyz)
        mask = cut(m.mask, part, box)
        key = (box, mask.tobytes())  # scores and shape priors ask for the same organs
        if key not in self._known:
            self._known[key] = self.reconstruct_box(mask, box)
        return self._known[key]

    def reconstruct_box(self, mask: np.ndarray, box: ShapeBox) -> Reconstruction:
        """Return the reconstruction of a mask (d, h, w) that lies in ``box`` already."""
        import torch

        if self._network is None:
            self._network = self.bundle.build_autoencoder()
        with torch.inference_mode():
            out, code, _ = self._network(torch.from_numpy(mask.astype(np.float32))[None, None])
        return Reconstruction(box, mask, out[0, 0].float().numpy(), code[0].float().numpy())

    def scores(self, organ: str, view: Reconstruction) -> list[Score]:
        """Return reconstruction DSC, surface distance and latent distance, each against real shapes not used in training."""
        kind = without_side(organ)
        real = self.real[kind]
        if not view.mask.any():
            return [Score("shape_latent", "Shape", "Does not apply: too small to be seen on the shape model's grid.")]
        values = (
            ("shape_dsc", "Reconstruction DSC", 1 - view.dsc, real["loss"], view.dsc, ""),
            ("shape_surface", "Reconstruction surface distance", view.surface_mm, real["surface_mm"], view.surface_mm, "mm"),
        )  # fmt: skip
        out = []
        for key, title, loss, spread, shown, unit in values:
            usual = spread.at(1.645)
            limit = f"at least {1 - usual:.2f}" if key == "shape_dsc" else f"up to {usual:.1f} mm"
            what = f"DSC {shown:.2f}" if key == "shape_dsc" else f"{shown:.1f} mm"
            reason = f"The shape model gives it back with {what}; 95 of 100 real contours come back with {limit}."
            # docs/qa.md: both find less than the latent distance does, and flag more real contours
            out.append(replace(_score(key, title, reason, spread, loss, shown, unit), counts=False))
        distance = self.latent[kind].distance(view.code)
        percentile = real["distance"].percentile(distance)
        odd = "Odd shape" if real["distance"].severity(distance) >= 1 else "Shape"
        reason = f"{odd}: farther from the training shapes than {percentile:.0f} of 100 real contours of {kind}."
        out.append(_score("shape_latent", "Latent distance", reason, real["distance"], distance, distance, "SD"))
        return out

    def shape_prior(self, view: Reconstruction, geometry: Geometry) -> np.ndarray:
        """Return the reconstruction on the scan's grid, bool (z, y, x): a prior, not truth."""
        return paste(view.reconstruction, view.box, geometry)

    def shape_prior_part(self, view: Reconstruction, geometry: Geometry) -> tuple[Box, np.ndarray]:
        """Return the box (z, y, x) of the scan's grid that the reconstruction may lie in, and the mask in it: nothing of it is outside."""
        return paste_part(view.reconstruction, view.box, geometry)

    def describe(self) -> dict[str, str]:
        """Return the bundle's name, version and SHA-256."""
        return {"name": self.bundle.name, "version": self.bundle.version, "sha256": self.bundle.digest}


def has_large_shapes() -> bool:
    """Return whether the shape model of large organs is installed. Reads no weights, needs no torch."""
    try:
        find_bundle(LARGE)
    except ModelError:
        return False
    return True


class ShapeModels(ShapeModel):
    """Several shape models as one: each organ is seen by the first that knows it."""

    def __init__(self, models: Sequence[ShapeModel]) -> None:
        self.models = tuple(models)

    def _model(self, organ: str) -> ShapeModel:
        return next(model for model in self.models if model.rebuilds(organ))

    def knows(self, organ: str) -> bool:
        return self.rebuilds(organ) and self._model(organ).knows(organ)

    def rebuilds(self, organ: str) -> bool:
        return any(model.rebuilds(organ) for model in self.models)

    @property
    def organs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for model in self.models for name in model.organs))

    def reconstruct(self, m: Measured, geometry: Geometry) -> Reconstruction:
        return self._model(m.name).reconstruct(m, geometry)

    def scores(self, organ: str, view: Reconstruction) -> list[Score]:
        return self._model(organ).scores(organ, view)

    def describe(self) -> dict[str, str]:
        """Return names, versions and SHA-256 of all of them."""
        every = [model.describe() for model in self.models]
        return {key: " + ".join(one[key] for one in every) for key in every[0]}


def load_shape_model(name_or_path: str | Path | None = None) -> ShapeModel:
    """Return the shape model of a name or folder; without one those that ship, that of large organs where it is installed. Raises ModelError."""
    if name_or_path is not None:
        return ShapeModel(load_bundle(name_or_path, kind="shape"))
    small = ShapeModel(load_bundle(DEFAULT, kind="shape"))
    try:
        return ShapeModels([small, ShapeModel(load_bundle(LARGE, kind="shape"))])
    except ModelError:
        return small


def _score(key: str, title: str, reason: str, spread: LogNormal, loss: float, shown: float, unit: str) -> Score:
    return Score(key, title, reason, min(HIGHEST, spread.severity(loss)), shown, unit, spread.percentile(loss))


def _latent(row: Mapping[str, Any]) -> LatentSpace:
    return LatentSpace(np.array(row["center"]), np.array(row["components"]), np.array(row["sd"]), float(row["rest_sd"]))
