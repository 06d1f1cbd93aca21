"""Find the prediction and the reference of each case on disk, and score them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from ..image.organs import find_organ, guess
from ..image.regrid import put_on_grid
from ..image.segmentation import Segmentation
from ..image.skipped_slices import fill_skipped, find_skipped
from ..image.volume import Volume
from ..io.read import read_segmentation
from ..io.suffixes import SEGMENTATIONS, has_suffix, stem
from .evaluate import OrganScores, evaluate
from .names import match_mandible, renamed

LISTED = 40  # names in one sentence


@dataclass(frozen=True)
class Comparison:
    """Scores of every case, and sentences for the user about what was not scored or not as it stands."""

    rows: list[OrganScores]
    notes: list[str]


@dataclass
class _Said:
    """Notes on files that were read: each sentence once, with the files or organs that it is about."""

    sentences: dict[tuple[str, str], list[str]] = field(default_factory=dict)  # (file's role, sentence) -> organs
    prefix: str = ""  # the case, where there are several
    names: dict[str, int] = field(default_factory=dict)  # every name in any file -> files that have it
    unknown: dict[str, int] = field(default_factory=dict)
    empty: dict[str, int] = field(default_factory=dict)

    def say(self, sentence: str, about: str = "", role: str = "") -> None:
        self.sentences.setdefault((role, sentence), []).append(about and self.prefix + about)

    def count(self, table: dict[str, int], names: Sequence[str]) -> None:
        for name in names:
            table[name] = table.get(name, 0) + 1


def evaluate_files(
    predicted: Path,
    reference: Path,
    organs: Sequence[str] | None = None,
    tolerance_mm: float = 2.0,
    ct: Volume | None = None,
) -> list[OrganScores]:
    """Return the scores of ``compare_files``."""
    return compare_files(predicted, reference, organs, tolerance_mm, ct).rows


def compare_files(
    predicted: Path,
    reference: Path,
    organs: Sequence[str] | None = None,
    tolerance_mm: float = 2.0,
    ct: Volume | None = None,
    names: Mapping[str, str] | None = None,
    fill_slices: bool = False,
) -> Comparison:
    """Compare two files, or every file of ``predicted`` with the one of the same name in ``reference``.

    ``organs``: score only these. ``tolerance_mm``: of the surface DSC. ``ct``: the scan that RTSTRUCTs belong to; both are compared on its
    grid. ``names``: {name in a file: organ, or "" to leave it out}. ``fill_slices``: interpolate slices that the reference (and a prediction
    that is an RTSTRUCT) skips. An organ that no prediction names is one that the model cannot know: it is listed and not scored, unless
    ``organs`` asks for it. Raises InputError.
    """
    if not tolerance_mm > 0:
        raise InputError(f"The tolerance is {tolerance_mm} mm; a number above 0 is expected.")
    names = names or {}
    said = _Said()
    rows: list[OrganScores] = []
    predicted_names: set[str] = set()
    without_table = False
    several = Path(predicted).is_dir()
    for case, ours, theirs in pairs(Path(predicted), Path(reference)):
        said.prefix = f"{case} " if several else ""
        found = _read(ours, None, ct, names, fill_slices and has_suffix(ours, (".dcm",)), said, "Prediction")
        truth = _read(theirs, organs, ct, names, fill_slices, said, "Reference")
        found, truth, sentence = match_mandible(found, truth)
        if sentence:
            said.say(sentence, case if several else "")
        predicted_names |= {r.organ.name for r in found.results}
        without_table |= has_suffix(ours, (".dcm",))
        rows.extend(evaluate(found, truth, organs, tolerance_mm, case))
    astray = sorted(set(names) - set(said.names))
    if astray:
        raise InputError(
            f"--map names {', '.join(astray)}, which no file has; there are {_listed(sorted(said.names))}. Write the name as the file does."
        )
    notes = _notes(said, organs is None)
    if organs is None:
        rows, more = _without_unknowable(rows, predicted_names, without_table)
        notes += more
    return Comparison(rows, notes)


def _read(
    path: Path,
    organs: Sequence[str] | None,
    ct: Volume | None,
    names: Mapping[str, str],
    fill: bool,
    said: _Said,
    role: str,
) -> Segmentation:
    """Read one file as it is compared, and note what is odd about it."""
    is_contours = has_suffix(path, (".dcm",))
    segmentation = read_segmentation(path, None if names else organs, ct, names)
    provenance = segmentation.provenance
    said.count(said.names, [r.organ.name for r in segmentation.results])
    if is_contours:
        said.count(said.names, provenance.get("all_names", ()))
        said.count(said.unknown, provenance.get("unknown_names", ()))
        said.count(said.empty, provenance.get("empty_names", ()))
        for note in provenance.get("notes", ()):
            said.say(note)
    else:
        segmentation = renamed(segmentation, names, path)
        said.count(said.unknown, [r.organ.name for r in segmentation.results if find_organ(r.organ.name) is None])
    if fill:
        segmentation, filled = fill_skipped(segmentation)
        for note in filled:
            organ, _, sentence = note.partition(": ")
            said.say(sentence, organ, role)
    elif is_contours or role == "Reference":
        for organ, sentence in find_skipped(segmentation).items():
            said.say(f"{sentence} --fill-slices interpolates.", organ, role)
    if is_contours:
        for result in segmentation.results:
            for warning in result.warnings:
                if not warning.startswith("The contours skip slices"):
                    said.say(warning, result.organ.name, role)
    return segmentation if ct is None else put_on_grid(segmentation, ct.geometry, ct.source)[0]


def _notes(said: _Said, all_organs: bool) -> list[str]:
    notes = []
    for (role, sentence), about in said.sentences.items():
        whose = _listed([name for name in dict.fromkeys(about) if name])
        notes.append(": ".join(part for part in (role, whose, sentence) if part))
    if said.empty:
        notes.append(f"Named, but empty (no contour), so not scored: {_listed(list(said.empty))}.")
    if said.unknown and all_organs:
        listed = _listed([name + guess(name) for name in said.unknown])
        notes.append(
            f"Names that were not recognised, so not scored: {listed}. To score one: --map 'NAME=ORGAN', such as "
            f"--map '{_example(said.unknown)}'."
        )
    return notes


def _example(unknown: Mapping[str, int]) -> str:
    for name in unknown:
        if guess(name):
            return f"{name}={guess(name).strip(' (?)').split(' or ')[0]}"
    return f"{next(iter(unknown))}=Parotid_L"


def _without_unknowable(
    rows: list[OrganScores], predicted_names: set[str], without_table: bool
) -> tuple[list[OrganScores], list[str]]:
    """Return the rows without organs that no prediction names, and the sentence that lists them."""
    absent = list(dict.fromkeys(row.organ for row in rows if row.organ not in predicted_names))
    absent = [name for name in absent if find_organ(name) is not None]
    if not absent:
        return [row for row in rows if row.organ in predicted_names], []
    if without_table:
        kept = [row for row in rows if row.organ in predicted_names or row.organ in absent]
        return kept, [
            f"Counted as missed, because the predicted RTSTRUCT does not name them (it leaves out what is empty): {_listed(absent)}."
        ]
    sentence = (
        f"Not scored, because no prediction names them, so the model does not know them: {_listed(absent)}. "
        "To count them as missed, ask for them with --organs."
    )
    return [row for row in rows if row.organ in predicted_names], [sentence]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")


def pairs(predicted: Path, reference: Path) -> list[tuple[str, Path, Path]]:
    """Return (case, predicted file, reference file) of two files, or of the files of two folders that have the same name. Raises InputError."""
    if predicted.is_dir() != reference.is_dir():
        raise InputError(f"{predicted} and {reference}: two files or two folders are expected, not one of each.")
    if not predicted.is_dir():
        return [(stem(predicted), predicted, reference)]
    ours, theirs = (
        {stem(p): p for p in sorted(folder.iterdir()) if has_suffix(p, SEGMENTATIONS)}
        for folder in (predicted, reference)
    )
    common = sorted(set(ours) & set(theirs))
    if not common:
        raise InputError(
            f"{predicted} and {reference} have no file name in common; a prediction is compared with the reference of the same name."
        )
    missing = sorted(set(ours) - set(theirs))
    if missing:
        raise InputError(
            f"{reference} has no reference for {', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}; add it or remove the prediction."
        )
    return [(name, ours[name], theirs[name]) for name in common]
