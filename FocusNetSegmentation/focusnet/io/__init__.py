"""Read scans and segmentations (``read``), write segmentations (``write``).

Names are looked up on first use: the tags of segments are needed in Slicer before the packages that read files are installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .dicom_series import SeriesInfo, list_series
    from .read import read_volume

_PLACES = {"SeriesInfo": ".dicom_series", "list_series": ".dicom_series", "read_volume": ".read"}

__all__ = ["SeriesInfo", "list_series", "read_volume"]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(_PLACES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
