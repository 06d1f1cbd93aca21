"""Several models on the command line: one run, one table, and every file says which organ is from which model."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from focusnet.cli.main import main
from focusnet.cli.node import check_rules
from focusnet.cli.scan import organ_table
from focusnet.errors import InputError
from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Volume
from focusnet.inference import segment as engine
from focusnet.inference.options import SegmentOptions
from focusnet.io.seg_nrrd import read_seg_nrrd, write_seg_nrrd
from focusnet.node.settings import read_settings
from focusnet.progress import ProgressCallback

from ..helpers_engine import head
from ..helpers_images import write_image
from ..helpers_node import dicom_destination, settings_text
from ..helpers_outputs import MERGED, scan_and_organs
from ..helpers_several import CAUTION, real_bundle, simulated_bundle

BOTH = "real7,eyes22"
SAID = f"Lens_R, Lens_L, OpticChiasm by eyes22: {CAUTION}"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    real_bundle(folder)
    simulated_bundle(folder)
    return folder


@pytest.fixture(autouse=True)
def known(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOCUSNET_MODELS", str(models))
    monkeypatch.setattr(
        "focusnet.inference.segment.check_orientation", lambda *_: {}
    )  # random weights fit no direction


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return write_image(head((36, 40, 40)), tmp_path / "in" / "scan.nrrd")


def test_segment_qa_and_report_know_the_models_of_a_merged_result(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, page = tmp_path / "o.seg.nrrd", tmp_path / "o.html"
    files = ["--report", str(tmp_path / "r.json"), "--picture", str(tmp_path / "p.png")]
    assert main(["segment", str(scan), "-o", str(out), "--model", BOTH, *files]) == 0
    printed = capsys.readouterr().out
    assert f"From eyes22: Lens_R, Lens_L, OpticChiasm. Drawn by no other model.\n{SAID}" in printed
    told = json.loads((tmp_path / "r.json").read_text())
    assert told["cautions"] == [SAID]
    assert {o["name"]: o["model"] for o in told["organs"]}["Lens_L"] == "eyes22"
    assert read_seg_nrrd(out).provenance["model"] == "real7 + eyes22"

    assert main(["qa", str(out), "--ct", str(scan), "-o", str(tmp_path / "q.json")]) == 0
    read = capsys.readouterr()
    assert "not installed" not in read.err
    assert f"note: {SAID}" in read.out
    scored = {o["organ"]: o["caution"] for o in json.loads((tmp_path / "q.json").read_text())["organs"]}
    assert (scored["Lens_L"], scored["Brainstem"]) == (CAUTION, None)

    assert main(["report", str(out), "--ct", str(scan), "-o", str(page), "--qa", str(tmp_path / "q.json")]) == 0
    text = page.read_text()
    assert SAID in text
    assert "was taken before eyes22" in text


def test_batch_runs_several_models_and_its_table_says_the_caution(
    scan: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(models)  # a folder may be named from where one stands
    assert main(["batch", str(scan.parent), "-o", str(tmp_path / "out"), "--model", "real7,./eyes22", "--qa"]) == 0
    with (tmp_path / "out" / "summary.csv").open(newline="") as handle:
        (row,) = csv.DictReader(handle)
    assert row["caution"] == SAID
    assert {"Larynx_ml", "Lens_L_ml"} <= set(row)
    assert row["status"] == "done"


def test_a_rule_of_the_node_may_name_several_models(models: Path, tmp_path: Path) -> None:
    text = settings_text(tmp_path, 11112, BOTH, dicom_destination(11113))
    path = tmp_path / "node.toml"
    path.write_text(text)
    check_rules(read_settings(path))
    path.write_text(text.replace(f'model = "{BOTH}"', f'model = "{BOTH}"\norgans = ["Spleen"]'))
    with pytest.raises(InputError, match="model real7,eyes22 has no organ 'Spleen'"):
        check_rules(read_settings(path))


@pytest.mark.parametrize(
    "command", [["models", "show", BOTH], ["finetune", "SET", "--from", BOTH, "--out", "RUN"], ["compare", BOTH, "RUN", "--dataset", "SET"]]
)  # fmt: skip
def test_where_one_model_is_meant_several_are_refused_in_one_line(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "SET").mkdir()
    at = {"SET": str(tmp_path / "SET"), "RUN": str(tmp_path / "RUN")}
    assert main([at.get(word, word) for word in command]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "names several models, which can be run together, but one is expected here" in line


def test_the_list_of_models_says_cautions_and_each_organs_score(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("eyes22"))
    assert lines[place + 1].strip() == CAUTION
    assert main(["models", "show", "eyes22"]) == 0
    shown = capsys.readouterr().out
    assert "Lens_L           DSC 0.90 on simulated CT, localized by SOL-Net" in shown
    assert CAUTION in shown


def test_a_table_of_one_model_is_as_before() -> None:
    _, organs = scan_and_organs()
    assert "model" not in organ_table(organs)
    merged = organ_table(Segmentation(organs.labels, organs.geometry, organs.results, dict(MERGED)))
    assert merged.splitlines()[0].endswith("sure  model")


def test_contours_of_models_that_are_not_here_are_scored_without_their_statistics(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, organs = scan_and_organs()
    write_seg_nrrd(Segmentation(organs.labels, organs.geometry, organs.results, dict(MERGED)), tmp_path / "o.seg.nrrd")
    assert main(["qa", str(tmp_path / "o.seg.nrrd")]) == 0
    told = capsys.readouterr().err
    assert "The model han7-test that made this is not installed" in told
    assert "The model eyes22 that is installed is another version than the one that made this." in told


def test_a_model_that_fails_is_told_and_the_rest_is_written(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = engine._segment_with_one

    def failing(volume: Volume, options: SegmentOptions, report: ProgressCallback) -> Segmentation:
        if options.bundle.name == "real7":
            raise InputError("The scan does not show the neck.")
        return run(volume, options, report)

    monkeypatch.setattr(engine, "_segment_with_one", failing)
    said = "Model real7 could not be used: The scan does not show the neck. Not drawn: SpinalCord, Parotid_R, Parotid_L, Larynx."
    out, report = tmp_path / "o.seg.nrrd", tmp_path / "r.json"
    assert (
        main(["segment", str(scan), "-o", str(out), "--model", BOTH, "--report", str(report), "--json-progress"]) == 0
    )
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert said in [event["message"] for event in events if event["event"] == "warning"]
    told = json.loads(report.read_text())
    assert said in told["notes"]
    assert told["model"]["name"] == "eyes22"
    assert [organ["name"] for organ in told["organs"]] == ["Brainstem", "Lens_R", "Lens_L", "OpticChiasm"]
    assert main(["batch", str(scan.parent), "-o", str(tmp_path / "out"), "--model", BOTH]) == 0
    with (tmp_path / "out" / "summary.csv").open(newline="") as handle:
        (row,) = csv.DictReader(handle)
    assert said in row["message"]
    assert (row["status"], row["Larynx_ml"]) == ("done", "")
