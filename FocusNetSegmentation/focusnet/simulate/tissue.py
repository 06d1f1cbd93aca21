"""HU of the tissues in the simulator: drawn once per patient, and how much a tissue varies from place to place.

Ranges are those of textbooks and of the OpenKBP scans at 120 kV; docs/simulator.md lists them. A lens is 40 to 80 HU above the
vitreous body, an optic nerve is as dense as muscle, a lacrimal gland nearly so: no small organ can be found by its HU alone.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True)
class Tissues:
    """Mean HU of each tissue in one patient."""

    skin: float
    fat: float
    muscle: float
    grey: float
    white: float
    fluid: float
    cord: float
    brainstem: float
    parotid: float
    submandibular: float
    lacrimal: float
    vitreous: float
    sclera: float
    lens: float
    nerve: float
    compact: float
    spongy: float
    jaw_compact: float
    jaw_marrow: float
    petrous: float
    cochlea: float
    tooth: float
    lung: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Tissues:
        """Draw one patient's tissues."""
        fat, muscle = rng.uniform(-112, -92), rng.uniform(48, 66)
        vitreous, grey = rng.uniform(4, 14), rng.uniform(36, 41)
        mean = {
            "skin": rng.uniform(5, 30),
            "fat": fat,
            "muscle": muscle,
            "grey": grey,
            "white": grey - rng.uniform(7, 11),
            "fluid": rng.uniform(5, 12),
            "cord": rng.uniform(32, 42),
            "brainstem": grey - rng.uniform(3, 9),
            "parotid": fat + (muscle - fat) * rng.uniform(0.45, 0.85),  # fattier with age
            "submandibular": muscle - rng.uniform(2, 18),
            "lacrimal": muscle - rng.uniform(2, 18),
            "vitreous": vitreous,
            "sclera": muscle - rng.uniform(0, 10),
            "lens": vitreous + rng.uniform(40, 80),
            "nerve": muscle - rng.uniform(2, 14),
            "compact": rng.uniform(1050, 1350),
            "spongy": rng.uniform(380, 620),
            "jaw_compact": rng.uniform(1150, 1450),
            "jaw_marrow": rng.uniform(250, 450),
            "petrous": rng.uniform(1150, 1500),
            "cochlea": rng.uniform(350, 750),
            "tooth": rng.uniform(1700, 2300),
            "lung": rng.uniform(-850, -780),
        }
        return cls(**{item.name: float(mean[item.name]) for item in fields(cls)})
