"""Which part of a growing training set a new patient goes to. A patient never moves afterwards."""

from __future__ import annotations

from collections.abc import Sequence

# to train on, to select on, to compare models on. All three have somebody from the fourth or fifth patient on.
SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}
EQUAL = 1e-9


def choose_split(patient: str, taken: Sequence[str]) -> str:
    """Return the split of a new patient: the one that lacks most of its share; between equals the pseudonym (hexadecimal) decides.

    ``taken``: the splits of the patients who are there. A plain draw by hash would leave one folder of ten patients in ten without anyone in val.
    """
    total = len(taken) + 1
    lack = {split: share * total - taken.count(split) for split, share in SHARES.items()}
    most = max(lack.values())
    equals = [split for split, value in lack.items() if value >= most - EQUAL]
    return equals[int(patient[:8], 16) % len(equals)]
