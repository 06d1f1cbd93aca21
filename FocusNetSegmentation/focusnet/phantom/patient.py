"""Who lies in the phantom: tissues' HU and organs' sizes, drawn once a patient; helpers for paired shapes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..image.organs import LEFT, RIGHT, without_side
from .shapes import Point, Shape, ellipsoid, tube

AIR = -1000.0
SIDES = ((1, LEFT), (-1, RIGHT))  # the patient's left is +x


@dataclass(frozen=True)
class Patient:
    """One drawn patient: HU of tissues and relative sizes of organs (``grow``). ``value``: each organ's label."""

    value: dict[str, int]
    fat: float
    muscle: float
    brain: float
    bone: float  # factor on all bone
    vessel: float  # above muscle with contrast agent
    grow: dict[str, float]

    @classmethod
    def draw(cls, rng: np.random.Generator, value: dict[str, int]) -> Patient:
        """Draw a patient. ``value``: organ -> label."""
        both = {
            without_side(name): rng.uniform(0.95, 1.05) for name in sorted(value) if name.endswith(LEFT)
        }  # sides are alike
        grow = {name: float(both.get(without_side(name), 1.0) * rng.uniform(0.98, 1.02)) for name in value}
        contrast = float(rng.choice([0.0, 110.0]))
        return cls(
            value,
            fat=float(rng.uniform(-115, -90)),
            muscle=float(rng.uniform(48, 62)),
            brain=float(rng.uniform(32, 38)),
            bone=float(rng.uniform(0.9, 1.1)),
            vessel=45.0 + contrast,
            grow=grow,
        )

    def label(self, organ: str) -> int:
        """Return an organ's label; 0 where it has none here."""
        return self.value.get(organ, 0)

    def size(self, organ: str) -> float:
        """Return an organ's size relative to the ordinary one."""
        return self.grow.get(organ, 1.0)


def on_side(point: Point, side: int) -> Point:
    """Return a point given for the left on ``side``: 1 left, -1 right."""
    return (side * point[0], point[1], point[2])


def both(point: Point, radii: Point) -> tuple[Shape, Shape]:
    """Return an ellipsoid on the left and its mirror image."""
    return ellipsoid(point, radii), ellipsoid(on_side(point, -1), radii)


def both_tubes(points: list[Point], radii: list[float], stretch_z: float = 1.0) -> tuple[Shape, Shape]:
    """Return a tube on the left and its mirror image."""
    mirrored = [on_side(point, -1) for point in points]
    return tube(points, radii, stretch_z), tube(mirrored, radii, stretch_z)
