"""Pseudonyms of patients and scans: keyed hashes, so that nobody finds a patient's number by trying all numbers without the folder's key."""

from __future__ import annotations

import hashlib
import hmac
import secrets

import numpy as np

from ..image.volume import Geometry

KEY_BYTES = 32
PATIENT_DIGITS, SCAN_DIGITS = 12, 16  # hexadecimal: 48 bits keep a million patients apart


def new_key() -> str:
    """Return a new secret key as text."""
    return secrets.token_hex(KEY_BYTES)


def patient_pseudonym(key: str, patient: str) -> str:
    """Return the pseudonym of a patient's number in the hospital; upper and lower case and spaces around it do not matter."""
    return _keyed(key, f"patient:{patient.strip().casefold()}", PATIENT_DIGITS)


def scan_pseudonym(key: str, scan: str) -> str:
    """Return the pseudonym of a patient whose number is not known, from the ``scan_name`` of the scan."""
    return _keyed(key, f"patient of scan:{scan}", PATIENT_DIGITS)


def scan_name(key: str, hu: np.ndarray, geometry: Geometry) -> str:
    """Return a name of a CT, the same for the same voxels in the same place. ``hu``: int16 (z, y, x)."""
    digest = hashlib.sha256(np.ascontiguousarray(hu, "<i2").tobytes())
    place = [round(float(v), 2) + 0.0 for v in (*geometry.spacing_mm_xyz, *geometry.origin_mm_xyz)]
    digest.update(repr((geometry.shape_zyx, place)).encode())
    return _keyed(key, f"scan:{digest.hexdigest()}", SCAN_DIGITS)


def _keyed(key: str, text: str, digits: int) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()[:digits]
