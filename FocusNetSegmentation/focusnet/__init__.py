"""FocusNetv2 for head-and-neck CT: organs at risk from Python, the command line and 3D Slicer.

Research software, not a medical device. Names are looked up on first use, so that importing this package needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .image.organs import Organ, find_organ
    from .image.segmentation import OrganResult, Segmentation
    from .image.volume import Geometry, Volume
    from .inference.segment import segment
    from .io import read_volume
    from .nets.bundle import ModelBundle, load_bundle
    from .progress import Progress

_PLACES = {
    "Geometry": ".image.volume",
    "ModelBundle": ".nets.bundle",
    "Organ": ".image.organs",
    "OrganResult": ".image.segmentation",
    "Progress": ".progress",
    "Segmentation": ".image.segmentation",
    "Volume": ".image.volume",
    "find_organ": ".image.organs",
    "load_bundle": ".nets.bundle",
    "read_volume": ".io",
    "segment": ".inference.segment",
}

__all__ = [
    "Geometry",
    "ModelBundle",
    "Organ",
    "OrganResult",
    "Progress",
    "Segmentation",
    "Volume",
    "__version__",
    "find_organ",
    "load_bundle",
    "read_volume",
    "segment",
]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(_PLACES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
