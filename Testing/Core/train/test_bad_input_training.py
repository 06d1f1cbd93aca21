"""What 'focusnet train' refuses before its first step, and what it says about cases that changed. What was trained before stays as it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from focusnet.cli.main import main
from focusnet.datasets.open_dataset import open_dataset
from focusnet.errors import ModelError
from focusnet.train.run import train_bundle
from focusnet.train.setup.cases import read_cases
from focusnet.train.setup.options import read_options
from focusnet.train.setup.request import TrainRequest

from ...paths import ROOT
from ..helpers_dataset import TINY_TOML, write_dataset
from ..helpers_layouts import PAIRS_TOML, patient, write, write_pairs


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"))


def train(dataset: Path, out: Path, *more: str, config: str = TINY_TOML) -> int:
    path = out.parent / "run.toml"
    path.write_text(config)
    return main(
        ["train", "--dataset", str(dataset), "--out", str(out), "--config", str(path), "--device", "cpu", *more]
    )


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("settings = 3\n", "settings is 3; a table [settings] is expected"),
        ('[network]\nwidth = "0.25"\n', "[network] width is '0.25'; a number is expected"),
        ("[network]\nspacing_mm_zyx = [3.0, 1.0]\n", "a list of 3, each a number, is expected"),
        ("[network]\ncrop_size_yx = 96\n", "crop_size_yx is 96; a list of 2, each a whole number, is expected"),
        ("[network]\nspacing_mm_zyx = [0, 1, 1]\n", "spacing_mm_zyx is (0, 1, 1); expected numbers above 0"),
        ("[settings]\nsteps = 1.5\n", "[settings] steps is 1.5; a whole number is expected"),
        ("[settings]\nlearning_rate = -1\n", "learning_rate is -1; expected a number above 0"),
        ("[settings]\nlearning_rate = nan\n", "learning_rate is nan; a number is expected"),
        ("[settings]\nema_decay = 2.0\n", "ema_decay is 2.0; expected 0 (off) to below 1"),
        ("[stages.sol]\nseed = true\n", "[stages.sol] seed is True; a whole number is expected"),
        ("[augmentation]\nscale = 1.0\n", "[augmentation] scale is 1.0; a list of 2"),
        ('[run]\nstages = "snet"\n', "[run] stages is 'snet'; a list"),
        ('[run]\nstages = ["sent"]\n', "Stage sent is unknown; choose from snet, sol"),
    ],
)
def test_a_configuration_of_the_wrong_kind_names_its_key_and_what_it_wants(
    dataset: Path, tmp_path: Path, toml: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(dataset, tmp_path / "out", config=toml) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_every_shipped_configuration_is_of_the_right_kinds() -> None:
    files = sorted((ROOT / "docs" / "configs").rglob("*.toml"))
    assert files
    for path in files:
        read_options(path)


def test_a_stage_that_nothing_leads_up_to_is_refused_before_the_first_one_runs(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(dataset, tmp_path / "out", "--stages", "snet,joint") == 2
    assert "Stage joint needs sol.best.safetensors" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_can_be_refused_at_once_is_refused_before_any_case_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = tmp_path / "not even a data set"
    assert train(nowhere, tmp_path / "out", "--stages", "snet,sos2") == 2
    assert "Stage sos2 is unknown" in capsys.readouterr().err
    (tmp_path / "file").write_text("mine")
    assert train(nowhere, tmp_path / "file") == 2
    assert "is a file; a folder is expected" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"
    assert train(nowhere, tmp_path / "out", "--init", "no-such-model") == 2
    assert "No model 'no-such-model'" in capsys.readouterr().err


def test_training_needs_cases_to_select_on_and_scans_that_are_not_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_pairs(tmp_path / "data")
    (folder / "dataset.toml").write_text(PAIRS_TOML.replace('val = ["p3"]', "val = []"))
    assert train(folder, tmp_path / "out") == 2
    assert "there is no case to select on (split val). Add cases" in capsys.readouterr().err
    (folder / "dataset.toml").write_text(PAIRS_TOML)
    shutil.copy(folder / "p1" / "ct.mha", folder / "p3" / "ct.mha")
    assert train(folder, tmp_path / "out") == 2
    assert "Case p3: its CT is the same, voxel by voxel, as that of p1" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_organ_that_no_training_case_shows_is_named_with_a_remedy_that_works(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(dataset, tmp_path / "data")
    text = (
        (folder / "dataset.json")
        .read_text()
        .replace('"Brainstem", "Parotid_R", "Parotid_L"]', '"Brainstem", "Parotid_R"]')
    )
    (folder / "dataset.json").write_text(text)
    assert train(folder, tmp_path / "out") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(
        'focusnet: Parotid_L is contoured in no case of train. Leave it out with use = ["Brainstem", "Parotid_R"] in dataset.toml'
    )
    assert not (tmp_path / "out").exists()  # refused before anything is written
    (folder / "dataset.toml").write_text('use = ["Brainstem", "Parotid_R"]\n')
    training, _ = read_cases(open_dataset(folder))
    assert all(case.labels.max() == 2 for case in training)


def test_a_case_whose_sides_are_swapped_is_refused_before_the_first_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def swap(number: int, hu: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return hu, np.array([0, 1, 3, 2], np.uint8)[labels] if number == 1 else labels

    folder = write_pairs(tmp_path / "data", edit=swap)
    (folder / "dataset.toml").write_text(PAIRS_TOML)
    assert train(folder, tmp_path / "out") == 2
    assert (
        "focusnet: Case p2: left and right are swapped: Parotid_L and Parotid_R. Swap the names"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "out").exists()


def test_a_run_that_was_stopped_before_its_first_validation_may_be_resumed_with_fewer_steps(
    dataset: Path, tmp_path: Path
) -> None:
    """It is judged as it stands and becomes a bundle; there was no checkpoint to start the bundle from."""
    out = tmp_path / "out"
    assert train(dataset, out, "--stages", "snet", "--steps", "2") == 0
    (out / "snet.best.safetensors").unlink()  # as after Ctrl-C at step 2 of 400
    shutil.rmtree(out / "bundle")
    assert train(dataset, out, "--stages", "snet", "--steps", "1", "--resume") == 0
    assert (out / "bundle" / "bundle.json").is_file()


def test_an_interrupted_training_says_what_it_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C after hours must not end with "nothing was written"."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("focusnet.train.run.train_bundle", interrupt)
    command = ["train", "--dataset", str(tmp_path / "data"), "--out", str(tmp_path)]
    assert main(command) == 130
    assert (
        capsys.readouterr().err
        == f"focusnet: Stopped before the first checkpoint; there is nothing in {tmp_path} to go on from.\n"
    )
    (tmp_path / "snet.last.safetensors").write_bytes(b"")
    assert main(command) == 130
    said = capsys.readouterr().err
    assert (
        said
        == f"focusnet: Stopped. {tmp_path} keeps the last checkpoint: the same command with --resume goes on from there.\n"
    )


def test_the_readers_warnings_are_said_in_training_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_pairs(tmp_path)
    (folder / "dataset.toml").write_text(PAIRS_TOML)
    volume, organs = patient(0)
    shutil.rmtree(folder / "p1")
    write(folder / "p1" / "img.nrrd", volume.array + np.int16(7), volume.geometry)
    write(folder / "p1" / "structures" / "Brainstem.nrrd", organs.mask("Brainstem").astype(np.uint8), volume.geometry)
    write(folder / "p1" / "structures" / "Parotid_L.nrrd", np.zeros(volume.array.shape, np.uint8), volume.geometry)
    for name, number in (("p2", 8), ("p3", 9)):
        shutil.rmtree(folder / name)
        shutil.copytree(folder / "p1" / "structures", folder / name / "structures")
        write(folder / name / "img.nrrd", volume.array + np.int16(number), volume.geometry)
    read_cases(open_dataset(folder))
    assert "p2: The contour of Parotid_L is empty; it is taken for not contoured." in caplog.messages


def test_a_case_that_was_changed_added_or_removed_between_kill_and_resume_is_named_and_nothing_is_lost(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(dataset, tmp_path / "data")
    out = tmp_path / "out"
    assert train(folder, out, "--stages", "snet", "--steps", "1") == 0
    before = {path: path.read_bytes() for path in out.rglob("*.safetensors")}
    assert any(path.parent.name == "bundle" for path in before)
    capsys.readouterr()
    kept = (folder / "dataset.json").read_text()
    (folder / "dataset.toml").write_text('exclude = ["pt_3"]\n')
    (folder / "dataset.json").write_text(kept.replace('["Brainstem", "Parotid_R"]', '["Brainstem"]'))
    assert train(folder, out, "--stages", "snet", "--steps", "2", "--resume") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "removed pt_3; changed pt_2. Put them back as they were and resume" in said
    assert {path: path.read_bytes() for path in out.rglob("*.safetensors")} == before
    (folder / "dataset.toml").unlink()
    (folder / "dataset.json").write_text(kept)
    assert train(folder, out, "--stages", "snet", "--steps", "2", "--resume") == 0


def test_a_bundle_of_another_width_is_named_with_both_widths(dataset: Path, tmp_path: Path) -> None:
    config = tmp_path / "tiny.toml"
    config.write_text(TINY_TOML)
    with pytest.raises(ModelError, match=r"has .*width 0\.5 \(here 0\.125\)") as caught:
        train_bundle(TrainRequest(dataset, tmp_path / "out", config_file=config, init="han7-openkbp", device="cpu"))
    assert not (tmp_path / "out" / "snet.last.safetensors").exists()
    assert "Leave --width and these settings" in str(caught.value)


@pytest.mark.parametrize("inside", [".", "run", "train/../run"])
def test_a_run_inside_the_data_set_is_refused(tmp_path: Path, inside: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").mkdir()
    assert main(["train", "--dataset", str(tmp_path / "data"), "--out", str(tmp_path / "data" / inside)]) == 2
    said = capsys.readouterr().err
    assert "lies inside the data set" in said
    assert said.count("\n") == 1
    assert not list((tmp_path / "data").iterdir())
