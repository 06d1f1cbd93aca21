"""Which cases two models are compared on: corrected ones that neither has learned from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..datasets.collected import read_object
from ..datasets.file_dataset import Dataset
from ..errors import DatasetError
from .paired import FEWEST_PATIENTS

HELD_OUT = ("test", "val")
TRAINING = "training.json"  # a run's manifest, with the names of its cases


def held_out_cases(data: Dataset, splits: Sequence[str] | None) -> tuple[list[tuple[str, str]], list[str]]:
    """Return (split, case) of every case to compare on, and sentences about the choice.

    ``splits``: those that were asked for; None for "test", or "test" and "val" where "test" has too few cases to prove anything.
    Raises DatasetError where there is none.
    """
    there = {split: data.patients(split) for split in data.splits()}
    notes = []
    if splits is None:
        chosen: list[str] = ["test"]
        if len(there.get("test", [])) < FEWEST_PATIENTS:
            chosen = [split for split in HELD_OUT if there.get(split)]
            if "val" in chosen:
                notes.append(
                    "The cases of the split val helped to choose the new weights: the figures are a little too good."
                )
    else:
        unknown = [split for split in splits if split not in there]
        if unknown:
            raise DatasetError(f"{data.folder} has no split {', '.join(unknown)}; there are {', '.join(there)}.")
        chosen = list(splits)
    cases = [(split, name) for split in chosen for name in there.get(split, [])]
    if not cases:
        raise DatasetError(
            f"{data.folder} holds nothing back to compare on (splits {', '.join(HELD_OUT)}). Collect more corrected cases: "
            "new patients go where most is missing."
        )
    return cases, notes


def refuse_learned(cases: Sequence[tuple[str, str]], run: Path) -> None:
    """Raise DatasetError where the run in ``run`` has learned from one of the cases; a bundle without its run cannot tell."""
    path = run / TRAINING
    learned = set(read_object(path).get("cases", {})) if path.is_file() else set()
    shared = sorted({name for _, name in cases} & learned)
    if shared:
        more = f" and {len(shared) - 3} more" if len(shared) > 3 else ""
        raise DatasetError(
            f"{run} has learned from {', '.join(shared[:3])}{more}, which would be compared on: name another --split, of cases that it has not seen."
        )
