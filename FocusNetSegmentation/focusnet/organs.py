"""Every organ that this product can name: TG-263 name, synonyms, side, SNOMED code, colour, small or not.

Sources: TG-263 (Mayo et al. 2018) for names; SNOMED CT as used by DICOM CID and Slicer's terminologies for codes.
No torch, no SimpleITK: Slicer reads this before anything is installed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Organ:
    """One organ at risk.

    ``name``: TG-263. ``title``: for people. ``side``: "left", "right" or "". ``small``: one of the organs for which the paper
    (or this project) uses SOL- and SOS-Net. ``color_rgb``: 0..255, stable across versions. ``snomed_code``/``snomed_meaning``: the type,
    without the side, which goes into the modifier. ``synonyms``: names seen in data sets and clinics.
    ``sets``: which of ``ORGAN_SETS`` hold it.
    """

    name: str
    title: str
    side: str
    small: bool
    color_rgb: tuple[int, int, int]
    snomed_code: str
    snomed_meaning: str
    synonyms: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()

    @property
    def mirrored_name(self) -> str:
        """TG-263 name of the same organ on the other side; its own name if unpaired."""
        if self.side == "left":
            return self.name[:-2] + "_R"
        return self.name[:-2] + "_L" if self.side == "right" else self.name


ORGANS: tuple[Organ, ...] = (
    Organ("Brainstem", "Brainstem", "", False, (144, 238, 144), "15926001", "Brainstem", ("Brain stem",), ("openkbp",)),
    Organ("SpinalCord", "Spinal cord", "", False, (255, 239, 172), "2748008", "Spinal cord", ("Spinal-Cord",), ("openkbp",)),
    Organ("Parotid_R", "Right parotid gland", "right", False, (0, 151, 206), "45289007", "Parotid gland", ("Parotid-Rt",), ("openkbp",)),
    Organ("Parotid_L", "Left parotid gland", "left", False, (111, 184, 210), "45289007", "Parotid gland", ("Parotid-Lt",), ("openkbp",)),
    Organ("Esophagus", "Esophagus", "", False, (211, 171, 143), "32849002", "Esophagus", (), ("openkbp",)),
    Organ("Larynx", "Larynx", "", False, (150, 208, 243), "4596009", "Larynx", (), ("openkbp",)),
    Organ("Bone_Mandible", "Mandible", "", False, (222, 198, 101), "91609006", "Mandible", ("Mandible",), ("openkbp",)),
)

ORGAN_SETS = ("paper22", "pddca", "tcia-oars", "openkbp")


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


_BY_KEY = {_key(known): organ for organ in ORGANS for known in (organ.name, organ.title, *organ.synonyms)}


def find_organ(name: str) -> Organ | None:
    """Organ by TG-263 name, title or synonym, whatever its case, spaces, dots, dashes and underscores; None if unknown."""
    return _BY_KEY.get(_key(name))


def organ_set(name: str) -> tuple[Organ, ...]:
    """The organs of one of ORGAN_SETS, in table order."""
    return tuple(organ for organ in ORGANS if name in organ.sets)
