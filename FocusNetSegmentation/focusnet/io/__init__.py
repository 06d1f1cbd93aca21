"""Files in and out. Reading starts here; writers are imported where they are needed."""

from __future__ import annotations

from .dicom_series import SeriesInfo, list_series
from .read import read_volume

__all__ = ["SeriesInfo", "list_series", "read_volume"]
