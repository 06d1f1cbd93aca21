"""``focusnet finetune``: a new version of a model that learned from corrected cases and kept the rest."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from focusnet.cli.main import main
from focusnet.datasets.case import Case
from focusnet.datasets.open_dataset import open_dataset
from focusnet.errors import ConfigError, DatasetError, OutputError
from focusnet.image.organs import find_organ
from focusnet.image.segmentation import OrganResult, Segmentation
from focusnet.image.volume import Geometry
from focusnet.io.seg_nrrd import write_seg_nrrd
from focusnet.nets.bundle import ModelBundle, load_bundle
from focusnet.train.run import train_bundle
from focusnet.train.settings import TUNE, Settings
from focusnet.train.setup import old_answers
from focusnet.train.setup.old_answers import filled_case, with_old_answers
from focusnet.train.setup.request import TrainRequest
from focusnet.train.setup.run_manifest import check_same_run, write_manifest
from focusnet.train.setup.tune import FEWEST_CASES, FROZEN_BELOW, next_version, tune_settings
from focusnet.train.setup.tune_options import OLD_ANSWERS, TuneOptions
from focusnet.train.stages.augment import CropPlace, Crops, Sample, sample_at
from focusnet.train.stages.model import TrainingNet
from focusnet.train.stages.stage import parameter_groups, set_trained
from focusnet.train.stages.table import with_answers_on_crops
from focusnet.train.status import status_text

from ..helpers_dataset import write_dataset
from ..helpers_engine import small_config
from .test_fine_tune import old_bundle

FEW_STEPS = {"steps": 4, "checkpoint_every": 2, "validate_every": 2, "pictures": False, "precision": "fp32"}


def request(tmp_path: Path, bundle: ModelBundle, **changes: Any) -> TrainRequest:
    settings = {**FEW_STEPS, **changes.pop("settings", {})}
    dataset = tmp_path / "data"
    if not dataset.exists():
        write_dataset(dataset, train=4)
    tune = changes.pop("tune", TuneOptions())
    return TrainRequest(
        dataset, tmp_path / "run", settings=settings, device="cpu", init=bundle.folder, tune=tune, **changes
    )


def test_the_new_version_knows_the_old_organs_and_the_new_one_and_where_it_comes_from(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "focusnet.train")
    old = old_bundle(tmp_path)
    (tmp_path / "run" / OLD_ANSWERS).mkdir(parents=True)
    assert status_text(tmp_path / "run").endswith("the old model's answers are being computed: 0 cases so far")
    new = train_bundle(request(tmp_path, old))
    assert new.config.organs == (*old.config.organs, "Parotid_R")  # the data set has them in another order
    assert (new.name, new.version) == ("old", "1.1")
    (step,) = new.manifest["lineage"]
    assert (step["parent"], step["parent_bundle_sha256"]) == ("old", old.digest)
    assert step["parent_weights_sha256"] == old.manifest["sha256"]["weights.safetensors"]
    assert (step["cases"], step["cases_by_organ"]["Parotid_L"]) == (4, 3)  # one case has no contour of it
    assert new.manifest["data"] == "a test; fine-tuned on 4 corrected cases"
    assert "aae.safetensors" in new.manifest["sha256"]
    assert "Larynx" not in new.manifest.get("volume_statistics", {})  # nobody contoured it
    answers = {path.name.split("-")[0] for path in (tmp_path / "run" / OLD_ANSWERS).iterdir()}
    assert answers == {f"pt_{n}" for n in range(1, 7)}
    assert any(m.startswith("tune step 0: score") for m in caplog.messages)  # the old weights may be the best
    assert "  tune   done    step 4 of 4" in status_text(tmp_path / "run")


def test_with_few_cases_the_encoder_and_all_batch_statistics_stay_as_they_were(tmp_path: Path) -> None:
    old = old_bundle(tmp_path)
    bundle = train_bundle(request(tmp_path, old, settings={"ema_decay": 0.0, "learning_rate": 0.1}))
    tensors = torch_file(tmp_path / "run" / "tune.last.safetensors")
    before, after = old.build().snet.state_dict(), {k: v for k, v in tensors.items() if k.startswith("model.snet.")}
    changed = {k for k in before if not torch.equal(before[k], after[f"model.snet.{k}"]) and "head" not in k}
    assert changed
    assert all(k.startswith(("decoders.", "skips.")) and "running" not in k for k in changed)
    assert bundle.build().snet.stem.weight.equal(old.build().snet.stem.weight)


def torch_file(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def test_with_more_cases_the_encoder_learns_slowly() -> None:
    few, many = tune_settings(FROZEN_BELOW - 1, {}), tune_settings(FROZEN_BELOW, {})
    assert few.encoder_rate == 0 < many.encoder_rate < 1
    model = TrainingNet(small_config(), with_aae=False)
    groups = parameter_groups(model, set_trained(model, ("snet",), many), many)
    assert [group["factor"] for group in groups] == [1.0, many.encoder_rate]
    assert id(model.snet.stem.weight) in {id(p) for p in groups[1]["params"]}
    assert id(model.snet.head.weight) in {id(p) for p in groups[0]["params"]}
    assert len(parameter_groups(model, set_trained(model, ("snet",), few), few)) == 1
    assert not model.snet.stem.weight.requires_grad


def test_the_old_models_answer_stands_only_where_nothing_was_drawn() -> None:
    organs = ("Brainstem", "Larynx", "Parotid_L")
    labels = np.array([[[3, 3, 0, 0, 0]]], np.uint8)
    answer = np.array([[[1, 3, 3, 2, 1]]], np.uint8)
    case = Case(
        "pt",
        np.zeros((1, 1, 5), np.int16),
        labels,
        Geometry((1, 1, 5), (1.0, 1.0, 1.0)),
        frozenset({"Parotid_L"}),
        (0, 0, 0),
    )
    filled = filled_case(case, answer, ["Brainstem", "Larynx"], organs)
    # the person's parotid is whole, and where the person left voxels of the old parotid out, they stay out
    assert filled.labels.tolist() == [[[3, 3, 0, 2, 1]]]
    assert filled.contoured == set(organs)
    assert filled.answered == {"Brainstem", "Larynx"}
    assert filled.centroids_mm_xyz["Brainstem"] == (4.0, 0.0, 0.0)


def test_on_a_crop_the_old_model_draws_again_what_it_drew_in_the_case() -> None:
    """Not what two interpolations have left of it; what people drew stays whole, and what they left out stays out."""
    organs = ("Brainstem", "Larynx", "Parotid_L")
    labels = torch.tensor([[[3, 3, 0, 2, 0, 0]]])
    answer = torch.tensor([[[1, 3, 3, 2, 2, 1]]])
    scores = torch.nn.functional.one_hot(answer, 4).permute(3, 0, 1, 2)[None].float()
    old = SimpleNamespace(snet=lambda ct: (None, scores))
    known = torch.ones(4, dtype=torch.bool)
    sample = Sample(torch.zeros(1, 1, 1, 6), labels, known, {}, answered=frozenset({"Brainstem", "Larynx"}))
    (drawn,) = with_answers_on_crops(Crops((sample,)), old, organs).samples
    assert drawn.labels.tolist() == [[[3, 3, 0, 2, 2, 1]]]
    people = Crops((replace(sample, answered=frozenset()),))
    assert with_answers_on_crops(people, old, organs) is people


def test_mirrored_crops_know_which_side_a_model_drew() -> None:
    case = Case(
        "pt", np.zeros((4, 8, 8), np.int16), np.zeros((4, 8, 8), np.uint8), Geometry((4, 8, 8), (6.0, 6.0, 6.0)),
        frozenset({"Parotid_L", "Parotid_R"}), (20.0, 20.0, 10.0), answered=frozenset({"Parotid_L"}),
    )  # fmt: skip
    config = small_config(organs=("Parotid_L", "Parotid_R"), small_organs=())
    for mirrored, side in ((False, "Parotid_L"), (True, "Parotid_R")):
        place = CropPlace((4, 8, 8), np.eye(4), mirrored)
        assert sample_at(case, config, place, 0.0, np.random.default_rng(0)).answered == {side}


def test_a_collected_case_brings_the_answer_of_the_model_that_drew_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = old_bundle(tmp_path)
    geometry = Geometry((2, 1, 3), (1.0, 1.0, 1.0))
    case = Case("pt-1", np.zeros((2, 1, 3), np.int16), np.zeros((2, 1, 3), np.uint8), geometry, frozenset(), (0, 0, 0))
    drawn = np.array([[[2, 2, 0]], [[0, 0, 3]]], np.uint8)
    results = tuple(
        OrganResult(organ=organ, label=value, found=True, volume_ml=1.0)
        for value, name in ((2, "Larynx"), (3, "Brainstem"))
        if (organ := find_organ(name)) is not None
    )
    write_seg_nrrd(Segmentation(drawn, geometry, results, {}), tmp_path / "model.seg.nrrd")

    def collected(digest: str) -> None:
        made_by = {"name": "old", "version": "", "bundle_sha256": digest}
        known = SimpleNamespace(name="pt-1", model=made_by, model_labels=tmp_path / "model.seg.nrrd")
        monkeypatch.setattr(old_answers, "is_collected", lambda _: True)
        monkeypatch.setattr(old_answers, "read_collection", lambda _: SimpleNamespace(cases=(known,)))

    def computed(*_: object) -> np.ndarray:
        raise RuntimeError("computed anew")

    monkeypatch.setattr(old_answers, "_answer", computed)
    organs = ("Larynx", "Parotid_L", "Brainstem")
    collected(old.digest)
    (filled,) = with_old_answers([case], old, organs, request(tmp_path, old))
    assert filled.labels.tolist() == [[[1, 1, 0]], [[0, 0, 3]]]
    collected("of another version")
    with pytest.raises(RuntimeError, match="computed anew"):
        with_old_answers([case], old, organs, request(tmp_path, old))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 50, "patience": 1, "learning_rate": 1e-12}, "1 validations without a better score; step 2 is the last."),
        ({"steps": 50, "minutes": 1e-6}, "the time is up after step 1 of 50."),
    ],
)  # fmt: skip
def test_a_run_ends_when_nothing_gets_better_or_its_time_is_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, settings: dict[str, Any], message: str
) -> None:
    caplog.set_level(logging.INFO, "focusnet.train")
    old = old_bundle(tmp_path)
    asked = request(tmp_path, old, settings=settings, tune=TuneOptions("mine", mix_old_answers=False))
    bundle = train_bundle(asked)
    assert f"tune: {message}" in caplog.messages
    assert bundle.name == "mine"
    assert not (tmp_path / "run" / OLD_ANSWERS).exists()
    assert " done " in status_text(tmp_path / "run")
    digest = bundle.digest
    assert train_bundle(replace(asked, resume=True)).digest == digest  # it does not go on from there


def test_what_cannot_be_learned_from_is_refused_in_one_line(tmp_path: Path) -> None:
    old = old_bundle(tmp_path)
    write_dataset(tmp_path / "few" / "data", train=FEWEST_CASES - 1)
    with pytest.raises(DatasetError, match=r"There are 3 cases to learn from; at least 4 are needed\. Collect more"):
        train_bundle(request(tmp_path / "few", old))
    write_dataset(tmp_path / "all" / "data", train=4, val=0)
    with pytest.raises(DatasetError, match=r"there is no case to select on \(split val\)\. Add cases"):
        train_bundle(request(tmp_path / "all", old))
    stranger = old_bundle(tmp_path / "stranger", organs=("Larynx", "Esophagus"), small=("Larynx",))
    with pytest.raises(DatasetError, match=r"has Larynx, Esophagus: no organ in common\. Name local structures"):
        train_bundle(request(tmp_path, stranger))
    assert not (tmp_path / "run").exists()


def test_another_run_in_the_folder_is_not_mixed_with_this_one(tmp_path: Path) -> None:
    old = old_bundle(tmp_path)
    asked = request(tmp_path, old, tune=TuneOptions(mix_old_answers=False))
    train_bundle(asked)
    with pytest.raises(ConfigError, match=r"holds a run already; pass --resume"):
        train_bundle(asked)
    with pytest.raises(ConfigError, match=r"settings\.tune\.learning_rate was 0\.0005, is 0\.1"):
        train_bundle(replace(asked, resume=True, settings={**asked.settings, "learning_rate": 0.1}))


def test_runs_from_before_a_setting_existed_are_the_same_run(tmp_path: Path) -> None:
    new = {"settings": {"snet": asdict(Settings())}, "data": "x", "code": "y"}
    old = json.loads(json.dumps(new))
    del old["settings"]["snet"]["encoder_rate"]
    write_manifest(tmp_path, old)
    assert check_same_run(tmp_path, new) == []
    new["settings"]["snet"]["encoder_rate"] = 0.5  # type: ignore[index]
    with pytest.raises(ConfigError, match=r"encoder_rate was absent, is 0\.5"):
        check_same_run(tmp_path, new)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_a_killed_fine_tuning_goes_on_to_the_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = old_bundle(tmp_path)
    data, out = write_dataset(tmp_path / "data", train=4), tmp_path / "run"
    arguments = ["finetune", str(data), "--from", str(old.folder), "--out", str(out), "--device", "cpu"]
    paths = os.pathsep.join(p for p in sys.path if p)
    process = subprocess.Popen(
        [sys.executable, "-m", "focusnet", *arguments, "--steps", "4000"], env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while process.poll() is None and not (out / "tune.last.safetensors").exists():
        time.sleep(0.01)
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "bundle").exists()
    answers = {path: path.stat().st_mtime_ns for path in (out / OLD_ANSWERS).iterdir()}
    assert main([*arguments, "--steps", "22"]) == 2  # the run that is there is not overwritten
    assert "pass --resume" in capsys.readouterr().err
    assert main([*arguments, "--steps", "22", "--resume"]) == 0
    assert "Next: focusnet compare" in capsys.readouterr().out
    assert load_bundle(out / "bundle").version == "1.1"
    assert {path: path.stat().st_mtime_ns for path in (out / OLD_ANSWERS).iterdir()} == answers


def test_an_answer_that_does_not_fit_on_the_disk_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = old_bundle(tmp_path)
    geometry = Geometry((1, 1, 2), (1.0, 1.0, 1.0))
    case = Case("pt-1", np.zeros((1, 1, 2), np.int16), np.zeros((1, 1, 2), np.uint8), geometry, frozenset(), (0, 0, 0))
    drawn = SimpleNamespace(labels=np.ones((1, 1, 2), np.uint8))
    monkeypatch.setattr(old_answers, "segment_scan", lambda *_: drawn)

    asked = request(tmp_path, old)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("SimpleITK.WriteImage", full)
    with pytest.raises(OutputError, match=r"pt-1-.*nrrd cannot be written \(No space left on device.*\)\. Free some"):
        with_old_answers([case], old, old.config.organs, asked)
    assert list((tmp_path / "run" / OLD_ANSWERS).iterdir()) == []


def test_versions_count_on() -> None:
    assert next_version("3", 0) == "3.1"
    assert next_version("3.1", 1) == "3.2"
    assert next_version("2.9", 0) == "2.9.1"  # the author's own number
    assert next_version("", 0) == "1.1"


def test_the_stage_is_not_one_of_a_training_from_scratch(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data")
    assert open_dataset(data).splits() == ("train", "val")
    with pytest.raises(ConfigError, match="Stage tune is unknown"):
        TrainRequest(data, tmp_path / "run", stages=(TUNE,))
