"""Glands, skull base, ears and orbits of the simulator, in the order in which they are painted."""

from __future__ import annotations

from .ear import paint_ear
from .head import Scene
from .orbit import paint_orbit
from .paint_organ import soft_organ
from .skull_base import paint_skull_base

SIDES = ("_L", "_R")


def paint_organs(scene: Scene) -> None:
    """Glands first, then ears, orbits, and what lies between and behind them."""
    tissues = scene.tissues
    for side in SIDES:
        soft_organ(scene, f"Parotid{side}", tissues.parotid, blur_mm=1.2, spread=16.0)
        soft_organ(scene, f"Glnd_Submand{side}", tissues.submandibular, blur_mm=1.2, spread=8.0)
        paint_ear(scene, side)
    for side in SIDES:
        paint_orbit(scene, side)
    paint_skull_base(scene)
