"""Every organ that this product can name, found by name, synonym or set. The table itself is in ``organ_table``.

No torch, no SimpleITK: Slicer reads this before anything is installed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from .organ_table import PAIRS, SINGLES, Row
from .organ_words import DUTCH, GERMAN, LATIN, LEFT_WORDS, NO_ORGAN_WORDS, RIGHT_WORDS, SHORT_SIDES, VENDOR_WORDS, WORDS

ORGAN_SETS = ("paper22", "pddca", "tcia-oars", "openkbp")
_SIDES = {"_L": ("left", ("L", "Lt", "Left")), "_R": ("right", ("R", "Rt", "Right"))}
_SIDE_WORDS = {**dict.fromkeys(LEFT_WORDS, "left"), **dict.fromkeys(RIGHT_WORDS, "right")}
# where a new word starts without a space: "parotidLt", "LParotid"
_LIGATURES = {"œ": "oe", "Œ": "Oe", "æ": "ae", "Æ": "Ae", "ß": "ss", "ø": "o", "Ø": "O"}
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


def _words(name: str) -> list[str]:
    """Return a name's words in lower case, without accents and punctuation. A plus stays: "Cord+" is a margin, not the cord."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    for ligature, letters in _LIGATURES.items():
        plain = plain.replace(ligature, letters)
    return [w for w in re.split(r"[\W_]+", _CAMEL.sub(" ", plain.replace("+", " plus ")).lower()) if w]


def _key(name: str) -> str:
    """Words of a name without case, accents and punctuation, with every way of writing a side made equal and put last.

    "Parotid-Lt", "parotid_l", "Left parotid" and "LParotid" have the same key; so "Glnd_L" cannot be taken for "Gland". An umlaut may be
    written with an e: "Rueckenmark". Text in another script stays part of the key: what cannot be read is not ignored.
    """
    return _key_of(_words(name))


def _key_of(words: list[str]) -> str:
    sides = sorted({_SIDE_WORDS[w] for w in words if w in _SIDE_WORDS})
    rest = "".join(re.sub("([aou])e", r"\1", w) for w in words if w not in _SIDE_WORDS)
    return rest + "".join(f"|{side}" for side in sides)


def _synonyms(row: Row) -> tuple[str, ...]:
    """Return the row's own synonyms and the names in other languages, each once."""
    foreign = (name for names in WORDS.get(row.name, {}).values() for name in names)
    return tuple(dict.fromkeys((*row.synonyms, *foreign)))


def _single(row: Row) -> Organ:
    return Organ(
        row.name, row.title, "", row.small, row.color_rgb, row.snomed_code, row.snomed_meaning, _synonyms(row), row.sets
    )


def _sided(row: Row, suffix: str) -> Organ:
    """One side of a paired organ. The left one is drawn in a lighter shade of the same colour."""
    side, words = _SIDES[suffix]
    title = (
        f"{side.capitalize()} {row.title[0].lower()}{row.title[1:]}"
        if row.title != row.title.upper()
        else f"{side.capitalize()} {row.title}"
    )
    synonyms = tuple(f"{name}_{words[0]}" for name in _synonyms(row))
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


def _short_sided(row: Row) -> dict[str, str]:
    """Return {key: TG-263 name} of a pair's names in other languages, with the short forms of that language's sides before or after."""
    keys = {}
    words = WORDS.get(row.name, {})
    for language, sides in SHORT_SIDES.items():
        latin = words.get(LATIN, ()) if language in (GERMAN, DUTCH) else ()  # clinics there use Latin names as well
        for suffix, shorts in zip((LEFT, RIGHT), sides, strict=True):
            for name in (*words.get(language, ()), *latin):
                for short in shorts:
                    keys[_key(f"{name} {short}")] = keys[_key(f"{short} {name}")] = row.name + suffix
    return keys


_BY_NAME = {organ.name: organ for organ in ORGANS}
_LONG_KEYS = {_key(known): organ for organ in ORGANS for known in (organ.name, organ.title, *organ.synonyms)}
_BY_KEY = {**{key: _BY_NAME[name] for row in PAIRS for key, name in _short_sided(row).items()}, **_LONG_KEYS}


def find_organ(name: str) -> Organ | None:
    """Return the organ by TG-263 name, title or synonym, whatever its case, punctuation and way of writing the side; None if unknown.

    Names in other languages and with what contouring programs add ("Parotid_L_MBS", "CHIASMA_AI") are known too. A paired organ without a
    side ("Parotid") is unknown: which one would be a guess.
    """
    words = _words(name)
    return _BY_KEY.get(_key_of(words)) or _BY_KEY.get(_key_of(_without_vendor(words))) or _glued(words)


def has_vendor_word(name: str) -> bool:
    """Return whether the name is known only without what a contouring program added: beside "Parotid_L" itself it is another contour."""
    return _key(name) not in _BY_KEY and find_organ(name) is not None


def _without_vendor(words: list[str]) -> list[str]:
    first, last = 0, len(words)
    while last > first + 1 and words[last - 1] in VENDOR_WORDS:
        last -= 1
    while last > first + 1 and words[first] in VENDOR_WORDS:
        first += 1
    return words[first:last]


def _glued(words: list[str]) -> Organ | None:
    """The organ of one word in capitals with its side before it: LPAROTID, RTEYE."""
    if len(words) != 1:
        return None
    for prefix, side in (("lt", "left"), ("rt", "right"), ("l", "left"), ("r", "right")):
        if words[0].startswith(prefix):
            organ = _BY_KEY.get(f"{_key_of([words[0][len(prefix) :]])}|{side}")
            if organ is not None:
                return organ
    return None


def nearest_organ(name: str) -> Organ | None:
    """Return the organ that an unknown name most likely means, to be asked about and never to be taken; None if nothing is near.

    Looks for a misspelt name, then for an organ's name among other words ("zz_mandible_l_test"). Margins and targets are not guessed at.
    """
    organs = possible_organs(name)
    return organs[0] if len(organs) == 1 else None


def possible_organs(name: str) -> tuple[Organ, ...]:
    """Return the organ that an unknown name most likely means, or both of a pair where it gives no side; empty if nothing is near."""
    words = _words(name)
    if NO_ORGAN_WORDS & set(words):
        return ()
    rest, *sides = _key_of(words).split("|")
    if len(sides) > 1:
        return ()
    wanted = sides or ["", "left", "right"]
    for length in range(
        len(words), 0, -1
    ):  # the name itself, then an organ's name among other words: "zz_mandible_l_test"
        for first in range(len(words) - length + 1):
            part = _key_of([w for w in words[first : first + length] if w not in _SIDE_WORDS])
            found = _unique(_LONG_KEYS.get(part + (side and f"|{side}")) for side in wanted)
            if found:
                return found
    near = get_close_matches(rest, {key.partition("|")[0] for key in _LONG_KEYS}, n=1, cutoff=0.8)
    return _unique(_LONG_KEYS.get(near[0] + (side and f"|{side}")) for side in wanted) if near else ()


def _unique(organs: Iterable[Organ | None]) -> tuple[Organ, ...]:
    """Return the organs that are there; one without a side goes before its halves."""
    found = tuple(dict.fromkeys(organ for organ in organs if organ is not None))
    return found[:1] if found and not found[0].side else found


def guess(name: str) -> str:
    """Return the guess about an unknown name as words for a list: " (Parotid_L?)", " (Parotid_L or Parotid_R?)" or nothing."""
    organs = possible_organs(name)
    return f" ({' or '.join(organ.name for organ in organs)}?)" if organs else ""


def organ_set(name: str) -> tuple[Organ, ...]:
    """Return the organs of one of ORGAN_SETS, in table order."""
    return tuple(organ for organ in ORGANS if name in organ.sets)
