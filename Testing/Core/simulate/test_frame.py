"""The simulator paints with the phantom's shapes: it must know where the phantom's organs lie."""

from __future__ import annotations

import numpy as np

from focusnet.phantom.write import phantom
from focusnet.simulate.frame import LANDMARKS, fit_phantom


def test_the_phantoms_own_organs_are_mapped_to_the_landmarks() -> None:
    reference = phantom(1, (2.0, 2.0, 3.0), list(LANDMARKS))[1]
    assert [row.organ.name for row in reference.results] == list(LANDMARKS)
    centres = {
        name: reference.geometry.index_to_mm(np.argwhere(reference.mask(name))).mean(axis=0) for name in LANDMARKS
    }
    to_phantom = fit_phantom(centres)
    for name, place in LANDMARKS.items():
        off = np.linalg.norm(to_phantom @ [*centres[name], 1.0] - place)
        assert off < 5.0, (name, off)
