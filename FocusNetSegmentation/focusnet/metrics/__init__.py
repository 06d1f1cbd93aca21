"""How well two sets of contours agree. Masks are boolean (z, y, x); distances are in mm.

Decided once, for every metric: an organ absent from both masks has no score (nan); an organ absent from one of them has DSC 0, surface
DSC 0 and infinite distances. Means leave nan out and count infinite distances apart, never silently.
"""

from __future__ import annotations

from .overlap import added_voxels, dice, volume_ml
from .surface import SurfaceDistances, surface_distances

__all__ = ["SurfaceDistances", "added_voxels", "dice", "surface_distances", "volume_ml"]
