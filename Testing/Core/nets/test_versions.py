"""A fine-tuned model takes the place of the one in force; one step leads back; nothing is ever lost on the way."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from focusnet.cli.main import main
from focusnet.cli.model_text import listing
from focusnet.errors import ModelError, OutputError
from focusnet.files.atomic_write import json_text
from focusnet.nets import bundle_folders, versions
from focusnet.nets.bundle import ModelBundle, available_bundles, find_bundle, load_bundle, save_bundle
from focusnet.nets.versions import STORE, adopt_bundle, earlier_versions, go_back

from ..helpers_engine import random_network, small_config
from ..helpers_killed import fork, killed_at

NAME = "han"


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's models folder; the shipped models are in another one, empty at first."""
    monkeypatch.setenv("FOCUSNET_MODELS", str(tmp_path / "models"))
    folders = [tmp_path / "models", tmp_path / "shipped"]
    monkeypatch.setattr(bundle_folders, "model_folders", lambda: folders)
    monkeypatch.setattr(versions, "model_folders", lambda: folders)
    return tmp_path / "models"


def tuned(run: Path, version: str, parent: str = "") -> ModelBundle:
    """A run's bundle; versions differ in their bundle.json alone, which is what tells bundles apart."""
    lineage = [{"parent": NAME, "parent_version": parent, "cases": 20, "date": "2026-11-28"}] if parent else []
    metadata = {"version": version, "data": "a test", **({"lineage": lineage} if lineage else {})}
    return save_bundle(run / "bundle", NAME, random_network(small_config()), metadata)


def test_the_version_before_is_kept_and_one_step_leads_back(models: Path, tmp_path: Path) -> None:
    first, second = tuned(tmp_path / "run1", "1.1"), tuned(tmp_path / "run2", "1.2", "1.1")
    assert adopt_bundle(tmp_path / "run1").aside is None
    change = adopt_bundle(tmp_path / "run2")
    assert change.aside == models / STORE / NAME / "0001"
    assert load_bundle(NAME).digest == second.digest
    assert load_bundle(change.aside).digest == first.digest
    back = go_back(NAME)
    assert load_bundle(NAME).digest == back.now.digest == first.digest
    assert back.aside is not None
    assert load_bundle(back.aside).digest == second.digest  # and forward again
    assert adopt_bundle(back.aside).now.digest == second.digest
    with pytest.raises(ModelError, match=r"han 1\.2 is in force already"):
        adopt_bundle(tmp_path / "run2")
    assert available_bundles() == [models / NAME]  # what is kept is not found by name


def test_back_from_the_first_own_version_leads_to_the_shipped_model(models: Path, tmp_path: Path) -> None:
    shipped = save_bundle(tmp_path / "shipped" / NAME, NAME, random_network(small_config()), {"version": "1"})
    own = tuned(tmp_path / "run", "1.1", "1")
    adopt_bundle(tmp_path / "run")
    text = listing(available_bundles())
    assert "takes the place of the shipped model of this name" in text
    assert "version 1.1, fine-tuned from han 1 on 20 corrected cases, 2026-11-28" in text
    assert go_back(NAME).now.digest == load_bundle(NAME).digest == shipped.digest
    with pytest.raises(ModelError, match=r"No version of 'han' was adopted on this computer"):
        go_back(NAME)
    adopt_bundle(tmp_path / "run")
    assert load_bundle(NAME).digest == own.digest


def test_there_is_no_way_back_from_the_only_version(models: Path, tmp_path: Path) -> None:
    own = tuned(tmp_path / "run", "1.1")
    adopt_bundle(tmp_path / "run")
    with pytest.raises(ModelError, match="han has no earlier version"):
        go_back(NAME)
    assert load_bundle(NAME).digest == own.digest


def test_a_run_that_was_killed_before_its_bundle_is_not_adopted(models: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "training.json").write_text("{}")
    with pytest.raises(
        ModelError, match=r"run holds no model yet: its training has not ended\. Go on with .* --resume"
    ):
        adopt_bundle(tmp_path / "run")
    assert not models.exists()


def test_a_full_disk_leaves_the_old_version_in_force(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tuned(tmp_path / "run1", "1.1")
    tuned(tmp_path / "run2", "1.2")
    adopt_bundle(tmp_path / "run1")
    monkeypatch.setattr(versions.shutil, "copyfile", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))  # fmt: skip
    with pytest.raises(OutputError, match=r"cannot be written \(No space left.* the version that was in force still is\. Free some space"):  # fmt: skip
        adopt_bundle(tmp_path / "run2")
    assert load_bundle(NAME).digest == first.digest
    assert [path.name for path in models.iterdir() if path.name.startswith(versions.WORK)] == []


# what ``focusnet compare`` found decides, unless the user insists


def compared(run: Path, old: ModelBundle, new: ModelBundle, verdict: str) -> None:
    found = {"format": 1, "verdict": verdict, "sentence": f"The new model is {verdict}."}
    sides = {"old": {"bundle_sha256": old.digest}, "new": {"bundle_sha256": new.digest}}
    (run / "comparison.json").write_text(json_text({**found, **sides}))


def test_a_model_that_was_found_worse_or_not_compared_is_not_adopted(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run2"
    first, second = tuned(tmp_path / "run1", "1.1"), tuned(run, "1.2", "1.1")
    assert (
        main(["models", "adopt", str(tmp_path / "run1")]) == 0
    )  # there is none of this name that it could be worse than
    capsys.readouterr()
    assert main(["models", "adopt", str(run)]) == 2
    assert "han 1.2 was not compared with the model in force; run: focusnet compare han" in capsys.readouterr().err
    compared(run, second, second, "better")
    assert main(["models", "adopt", str(run)]) == 2
    assert "was compared with another model than version 1.1, which is in force" in capsys.readouterr().err
    compared(run, first, second, "worse")
    assert main(["models", "adopt", str(run)]) == 2
    assert "The new model is worse. It is not adopted; the old model stays in force." in capsys.readouterr().err
    assert load_bundle(NAME).digest == first.digest
    assert main(["models", "adopt", str(run), "--even-if-worse"]) == 0
    assert main(["models", "back", NAME]) == 0
    assert "han 1.1 is in force again" in capsys.readouterr().out
    compared(run, first, second, "not to tell")
    assert main(["models", "adopt", str(run)]) == 0
    told = capsys.readouterr().out
    assert "The new model is not to tell." in told
    assert "To go back: focusnet models back han" in told


# killed before each change of the disk, one after the other (as Testing/Core/node/test_killed_anywhere.py does)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked copies of this process")
@pytest.mark.parametrize("way", ["forward", "back"])
def test_old_or_new_is_in_force_wherever_it_is_killed(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(ModelBundle, "check_weights", lambda _: None)  # torch does not like to be forked
    runs = [tuned(tmp_path / f"run{n}", f"1.{n}").folder.parent for n in (1, 2, 3)]
    digests = [load_bundle(run / "bundle").digest for run in runs]
    act: Callable[[], Any]
    for step in itertools.count(1):
        root = tmp_path / str(step)
        monkeypatch.setenv("FOCUSNET_MODELS", str(root))
        folders = [root, tmp_path / "shipped"]
        for module in (bundle_folders, versions):
            monkeypatch.setattr(module, "model_folders", lambda folders=folders: folders)
        adopt_bundle(runs[0])
        adopt_bundle(runs[1])
        act, allowed = (lambda: adopt_bundle(runs[2])), {digests[1], digests[2]}
        if way == "back":
            adopt_bundle(runs[2])
            act, allowed = (lambda: go_back(NAME)), {digests[2], digests[1]}
        status = fork(killed_at(step, act))
        assert status in (0, 7), f"step {step}"
        in_force = load_bundle(NAME)  # which checks every hash
        assert in_force.digest in allowed, f"step {step}"
        kept = {load_bundle(f).digest for f in (root / STORE / NAME).iterdir() if not f.name.startswith(".")}
        assert kept | {in_force.digest} >= set(digests[:2]) | ({digests[2]} if way == "back" else set()), f"step {step}"
        if in_force.digest == digests[2]:
            go_back(NAME)
        assert find_bundle(NAME) == root / NAME
        assert load_bundle(NAME).digest == digests[1], f"step {step}: the way back is gone"
        assert load_bundle(earlier_versions(root / NAME)[0]).digest == digests[0]
        if status == 0:
            break
    assert step > 8  # the walk did reach the end
