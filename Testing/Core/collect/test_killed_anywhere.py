"""A station is killed at each step that changes the training set, one after the other; two stations write at once. No case is lost or half there."""

from __future__ import annotations

import itertools
import multiprocessing
import os
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from focusnet.collect.folder import ASK, KEEP_BOTH, REPLACE, open_set, put_case, start_set
from focusnet.collect.new_case import NewCase
from focusnet.datasets.collected import LOCK, read_collection
from focusnet.datasets.open_dataset import open_dataset
from focusnet.files.lock import lock_file

from ..helpers_killed import fork, killed_at, note
from ..helpers_outputs import scan_and_organs

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked copies of this process")


@lru_cache
def case(patient: str, scan: int = 0) -> NewCase:
    """A small case that is ready to be put into the folder."""
    volume, organs = scan_and_organs()
    geometry = replace(volume.geometry, spacing_mm_xyz=(3.25, 3.5, 4.0))  # as large as a head
    organs = replace(organs, geometry=geometry, provenance={})
    names = [r.organ.name for r in organs.results]
    facts = {"model": None, "contoured": names, "absent": ["Larynx"], "organs": {}, "audit": None}
    noise = np.arange(volume.array.size).reshape(volume.array.shape) % 50  # else it looks like a label map
    return NewCase((volume.array + noise + scan).astype(np.int16), geometry, organs, organs, patient, facts)


def life(folder: Path) -> None:
    """A patient, the same patient once more in its place, another patient; what the user was told stands in told/."""
    start_set(folder / "set", "option")
    for number, (patient, how) in enumerate((("A", ASK), ("A", REPLACE), ("B", ASK))):
        added = put_case(folder / "set", case(patient, number), how)
        note(folder / "told" / f"{number} {added.name} {added.split}", b"")


def test_no_case_is_lost_and_none_is_half_there_wherever_a_station_is_killed(tmp_path: Path) -> None:
    for step in itertools.count(1):
        folder = tmp_path / str(step)
        (folder / "told").mkdir(parents=True)
        status = fork(killed_at(step, lambda folder=folder: life(folder)))  # type: ignore[misc]
        assert status in (0, 7), f"step {step}"
        told = sorted(path.name.split() for path in (folder / "told").iterdir())
        check_after_kill(folder / "set", told, step)
        start_set(folder / "set", "option")
        put_case(folder / "set", case("C", 9), ASK)  # the next user cleans up
        check_after_kill(folder / "set", told, step)
        left = sorted(p.name for p in (folder / "set").iterdir() if p.name.startswith(".") and p.name != LOCK)
        assert [n for n in left if not n.startswith((".pseudonym", ".collection", ".patients"))] == [], f"step {step}"
        if status == 0:
            break
    assert step > 40  # the walk did reach the end
    assert [c.patient for c in read_collection(folder / "set").cases].count(told[0][1].partition("-")[0]) == 1


def check_after_kill(folder: Path, told: list[list[str]], step: int) -> None:
    """Every case that the user was told of is there, or the one that replaced it; each reads as a whole, in the split that was told."""
    if open_set(folder) is None:
        assert told == [], f"step {step}"
        return
    collection = read_collection(folder)
    there = {c.name: c for c in collection.cases}
    stands_for = {name for c in collection.cases for name in (c.name, *c.replaces)}
    splits = {c.patient: c.split for c in collection.cases}
    for _, name, split in told:
        assert name in stands_for, f"step {step}: {name} is gone"
        assert splits[name.partition("-")[0]] == split, f"step {step}"
    if there:
        dataset = open_dataset(folder)
        read = [dataset.case(split, name) for split in dataset.splits() for name in dataset.patients(split)]
        assert {c.name for c in read} == set(there)
        assert all(len(c.centroids_mm_xyz) == 4 for c in read), f"step {step}"


def station(folder: Path, number: int) -> None:
    for patient in range(6):
        put_case(folder, case(f"{number} {patient}", 1000 + 100 * number + patient), KEEP_BOTH)
        put_case(folder, case("of both stations", 100 * number + patient), KEEP_BOTH)


def test_two_stations_that_write_at_once_lose_nothing_and_agree_on_the_patient(tmp_path: Path) -> None:
    start_set(tmp_path / "set", "option")
    stations = [multiprocessing.get_context("fork").Process(target=station, args=(tmp_path / "set", n)) for n in (1, 2)]
    for one in stations:
        one.start()
    for one in stations:
        one.join(300)
    assert [one.exitcode for one in stations] == [0, 0]
    cases = read_collection(tmp_path / "set").cases
    assert len(cases) == 24
    by_patient = [c.patient for c in cases]
    shared = max(set(by_patient), key=by_patient.count)
    assert by_patient.count(shared) == 12
    assert len(set(by_patient)) == 13
    assert {c.name for c in cases if c.patient == shared} == {f"{shared}-{n}" for n in range(1, 13)}
    assert len({c.split for c in cases if c.patient == shared}) == 1


def test_two_stations_that_start_a_folder_at_once_share_one_key(tmp_path: Path) -> None:
    def start_and_put(number: int) -> Callable[[], None]:
        def act() -> None:
            start_set(tmp_path / "set", "option")
            put_case(tmp_path / "set", case("A", number), KEEP_BOTH)

        return act

    context = multiprocessing.get_context("fork")
    stations = [context.Process(target=start_and_put(n)) for n in range(3)]
    for one in stations:
        one.start()
    for one in stations:
        one.join(300)
    assert {c.patient for c in read_collection(tmp_path / "set").cases} == {
        read_collection(tmp_path / "set").cases[0].patient
    }
    assert len(read_collection(tmp_path / "set").cases) == 3


def test_a_lock_ends_with_the_process_that_held_it(tmp_path: Path) -> None:
    start_set(tmp_path / "set", "option")

    def die() -> None:
        lock_file(tmp_path / "set" / LOCK)
        os._exit(7)

    assert fork(die) == 7
    assert put_case(tmp_path / "set", case("A")).split == "train"
