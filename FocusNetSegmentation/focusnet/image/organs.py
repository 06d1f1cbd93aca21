"""Every organ that this product can name, found by name, synonym or set. The table itself is in ``organ_table``.

No torch, no SimpleITK: Slicer reads this before anything is installed.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from difflib import get_close_matches

from .organ_table import PAIRS, SINGLES, Row

ORGAN_SETS = ("paper22", "pddca", "tcia-oars", "openkbp")
_SIDES = {"_L": ("left", ("L", "Lt", "Left")), "_R": ("right", ("R", "Rt", "Right"))}
_SIDE_WORDS = {
    **dict.fromkeys(("l", "lt", "left", "links", "sinistra"), "left"),
    **dict.fromkeys(("r", "rt", "right", "rechts", "dextra"), "right"),
}
# where a new word starts without a space: "parotidLt", "LParotid"
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?:(?<=^[LR])|(?<=[\W_][LR]))(?=[A-Z][a-z])")


LEFT, RIGHT = "_L", "_R"  # how TG-263 names end


@dataclass(frozen=True)
class Organ:
    """One organ at risk.

    ``name``: TG-263. ``title``: for people. ``side``: "left", "right" or "". ``small``: one of the organs for which the paper uses SOL- and
    SOS-Net. ``color_rgb``: 0..255, stable across versions. ``snomed_code``/``snomed_meaning``: the type, without the side, which
    goes into the modifier. ``synonyms``: names seen in data sets and clinics. ``sets``: which of ``ORGAN_SETS`` hold it.
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
        """Return the TG-263 name of the same organ on the other side; its own name if unpaired."""
        return mirrored(self.name)


def side_of(name: str) -> str:
    """Return "left", "right" or "" by the end of a TG-263 name (``_L``, ``_R``)."""
    return {LEFT: "left", RIGHT: "right"}.get(name[-2:], "")


def without_side(name: str) -> str:
    """Return a TG-263 name without its side: ``Parotid_L`` gives ``Parotid``, ``Brainstem`` stays."""
    return name[:-2] if side_of(name) else name


def mirrored(name: str) -> str:
    """Return the other side's organ: ``Parotid_L`` gives ``Parotid_R``; an unpaired organ is its own mirror image."""
    return without_side(name) + {"left": RIGHT, "right": LEFT, "": ""}[side_of(name)]


def _key(name: str) -> str:
    """Words of a name without case, accents and punctuation, with every way of writing a side made equal and put last.

    "Parotid-Lt", "parotid_l", "Left parotid" and "LParotid" have the same key; so "Glnd_L" cannot be taken for "Gland". Text in
    another script stays part of the key: what cannot be read is not ignored.
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    words = [w for w in re.split(r"[\W_]+", _CAMEL.sub(" ", plain).lower()) if w]
    sides = sorted({_SIDE_WORDS[w] for w in words if w in _SIDE_WORDS})
    rest = "".join(w for w in words if w not in _SIDE_WORDS)
    return rest + "".join(f"|{side}" for side in sides)


def _single(row: Row) -> Organ:
    return Organ(
        row.name, row.title, "", row.small, row.color_rgb, row.snomed_code, row.snomed_meaning, row.synonyms, row.sets
    )


def _sided(row: Row, suffix: str) -> Organ:
    """One side of a paired organ. The left one is drawn in a lighter shade of the same colour."""
    side, words = _SIDES[suffix]
    title = (
        f"{side.capitalize()} {row.title[0].lower()}{row.title[1:]}"
        if row.title != row.title.upper()
        else f"{side.capitalize()} {row.title}"
    )
    synonyms = tuple(f"{name}_{words[0]}" for name in row.synonyms)
    red, green, blue = (c + (255 - c) * 2 // 5 for c in row.color_rgb) if side == "left" else row.color_rgb
    return Organ(
        row.name + suffix,
        title,
        side,
        row.small,
        (red, green, blue),
        row.snomed_code,
        row.snomed_meaning,
        synonyms,
        row.sets,
    )


ORGANS: tuple[Organ, ...] = (
    *(_single(row) for row in SINGLES),
    *(_sided(row, suffix) for row in PAIRS for suffix in (RIGHT, LEFT)),
)

_BY_KEY = {_key(known): organ for organ in ORGANS for known in (organ.name, organ.title, *organ.synonyms)}


def find_organ(name: str) -> Organ | None:
    """Return the organ by TG-263 name, title or synonym, whatever its case, punctuation and way of writing the side; None if unknown.

    A paired organ without a side ("Parotid") is unknown: which one would be a guess.
    """
    return _BY_KEY.get(_key(name))


def nearest_organ(name: str) -> Organ | None:
    """Return the organ that a misspelt name most likely means, to be asked about and never to be taken; None if nothing is near."""
    key = _key(name)
    same_side = [known for known in _BY_KEY if known.partition("|")[2] == key.partition("|")[2]]
    near = get_close_matches(key, same_side, n=1, cutoff=0.8)
    return _BY_KEY[near[0]] if near else None


def organ_set(name: str) -> tuple[Organ, ...]:
    """Return the organs of one of ORGAN_SETS, in table order."""
    return tuple(organ for organ in ORGANS if name in organ.sets)
