"""How sure the network was of each organ: numbers that a result keeps, from the probabilities that the arg-max throws away.

The paper names uncertainty as future work; expected overlap from softmax is after Li et al., "Estimating model performance under domain
shifts with class-specific confidence scores", MICCAI 2022.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..image.label_boxes import label_boxes
from ..image.organs import mirrored
from ..image.segmentation import DRAWN_AT
from ..image.volume import Geometry
from ..nets.config import NetworkConfig
from .arrays import uses_numpy
from .backends import Backend
from .chunks import run_chunks

UNSURE = (0.1, 0.9)  # probabilities between which a voxel is neither surely in nor surely out
SURE = 0.9
END_MM = 12.0  # how much of each end of an organ is looked at on its own


@dataclass
class SlicewiseSums:
    """Sums over each slice of a scan, per organ, as its probabilities stream by: all that ``certainty_of`` needs.

    Arrays of the C organs and the slices so far (C, z): probability, voxels that the organ wins, probability in those, voxels
    with more than SURE in those, unsure voxels. ``winners``: which of background (0) and organs wins each voxel, uint8 (z, y, x), on the
    device of the probabilities.
    """

    winners: list[Tensor] = field(default_factory=list)
    parts: list[np.ndarray] = field(default_factory=list)  # (5, C, z) of each slab

    def add(self, probabilities: Tensor) -> None:
        """Add the next slab: probabilities (C + 1, z, y, x), background first."""
        winner = winning(probabilities)
        self.winners.append(winner)
        out = torch.zeros(5, len(probabilities) - 1, len(winner), dtype=torch.float64, device=probabilities.device)
        seen = probabilities[1:].amax(dim=(2, 3)) > UNSURE[0]  # (C, z)
        for organ, planes in enumerate(seen.cpu()):
            if not planes.any():
                continue
            part, won = probabilities[organ + 1][planes], winner[planes] == organ + 1
            unsure = (part > UNSURE[0]) & (part < UNSURE[1])
            for row, values in enumerate((part, won, part * won, won & (part > SURE), unsure)):
                out[row, organ, planes] = values.sum(dim=(1, 2), dtype=torch.float64)
        self.parts.append(out.cpu().numpy())

    def organ(self, number: int) -> np.ndarray:
        """Return the sums (5, z) of the organ ``number`` (0 is the first)."""
        return np.concatenate([part[:, number] for part in self.parts], axis=1)


def certainty_of(sums: np.ndarray, slice_mm: float) -> dict[str, float]:
    """Return the measures of certainty of one organ from its sums (5, z); nothing for an organ without a voxel.

    ``expected_dsc``: overlap to be expected if the probabilities were right. ``sure``: part of its voxels with more than 0.9.
    ``unsure_rim``: unsure voxels, as a multiple of volume^(2/3). ``more``: probability outside it, as a part of its volume.
    ``below_mm``, ``above_mm``: how far the organ may go on beyond its ends. ``bottom_dsc``, ``top_dsc``: expected overlap in the last 12 mm.
    """
    probability, won, inside, sure, unsure = sums
    total = float(won.sum())
    if total == 0:
        return {}
    present = np.flatnonzero(won)
    first, last = int(present[0]), int(present[-1]) + 1
    area = float(np.median(won[present]))
    ends = max(1, round(END_MM / slice_mm))

    def expected(part: slice) -> float:
        return float(2 * inside[part].sum() / max(won[part].sum() + probability[part].sum(), 1e-6))

    return {
        "expected_dsc": expected(slice(None)),
        "sure": float(sure.sum() / total),
        "unsure_rim": float(unsure.sum() / total ** (2 / 3)),
        "more": float((probability.sum() - inside.sum()) / total),
        "below_mm": float(probability[:first].sum() / area * slice_mm),
        "above_mm": float(probability[last:].sum() / area * slice_mm),
        "bottom_dsc": expected(slice(first, first + ends)),
        "top_dsc": expected(slice(max(0, last - ends), last)),
    }


def winning(probabilities: Tensor) -> Tensor:
    """Return which channel of probabilities (C + 1, z, y, x) is the highest, the first of equals: uint8 (z, y, x)."""
    if not uses_numpy(probabilities):
        return probabilities.argmax(dim=0).to(torch.uint8)
    channels = probabilities.numpy()
    best, winner = channels[0].copy(), np.zeros(channels.shape[1:], np.uint8)
    for value, p in enumerate(channels[1:], start=1):
        higher = p > best
        winner[higher] = value
        np.copyto(best, p, where=higher)
    return torch.from_numpy(winner)


@torch.inference_mode()
def mirrored_winners(ct: Tensor, backend: Backend, config: NetworkConfig, chunk_slices: int) -> Tensor:
    """Return what the network draws on the mirrored scan, mirrored back with left and right organs exchanged: uint8 (z, y, x)."""
    flipped = ct.to(backend.torch_device).flip(2)
    parts = [winning(f.output.probabilities) for f in run_chunks(flipped, backend, config, chunk_slices)]
    names = list(config.organs)
    back = [0, *(names.index(mirrored(o)) + 1 if mirrored(o) in names else 1 + n for n, o in enumerate(names))]
    return torch.tensor(back, dtype=torch.uint8, device=flipped.device)[torch.cat(parts).flip(2).int()]


def certainties_of(
    sums: SlicewiseSums, config: NetworkConfig, network: Geometry, mirrored_labels: Tensor | None
) -> dict[str, dict[str, float]]:
    """Return the certainty of each organ by name; nothing where ``sums`` is empty. ``mirrored_labels``: of ``mirrored_winners``, adds ``mirrored``.

    DRAWN_AT: the organ's median voxel in LPS mm, so that a reader can tell that it was moved since.
    """
    if not sums.parts:
        return {}
    out = {name: certainty_of(sums.organ(n), config.spacing_mm_zyx[0]) for n, name in enumerate(config.organs)}
    winners = torch.cat(sums.winners).cpu().numpy()
    boxes = label_boxes(winners)
    for value, name in enumerate(config.organs, start=1):
        if out[name]:
            box = boxes[value - 1]
            assert box is not None  # it has voxels
            middle = np.median(np.argwhere(winners[box] == value), axis=0) + [s.start for s in box]
            out[name] |= dict(zip(DRAWN_AT, network.index_to_mm(middle).tolist(), strict=True))
    if mirrored_labels is not None:
        found = agreement(torch.from_numpy(winners), mirrored_labels.cpu(), len(config.organs))
        for name, dsc in zip(config.organs, found, strict=True):
            if out[name]:
                out[name]["mirrored"] = dsc
    return {name: sure for name, sure in out.items() if sure}


def agreement(labels: Tensor, others: Tensor, organs: int) -> list[float]:
    """Return the DSC of each of the ``organs`` (1, 2, ...) in two label maps (z, y, x); 0 where it has no voxel in either."""

    def voxels(values: Tensor) -> Tensor:
        return torch.bincount(values.flatten().int(), minlength=organs + 1)[1:]

    same = voxels(labels[labels == others])
    return (2 * same / (voxels(labels) + voxels(others)).clamp(min=1)).tolist()
