"""The command: two lines from a scan to organs; bad input is one line, status 2, and nothing half-written."""

from __future__ import annotations

import csv
import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from focusnet.cli.demo import demo_models, free_folder
from focusnet.cli.main import build_parser, main
from focusnet.errors import OutputError
from focusnet.image.volume import Volume
from focusnet.io.seg_nrrd import read_seg_nrrd

from ..helpers_engine import head, random_bundle, small_config
from ..helpers_images import write_dicom, write_image


@pytest.fixture(autouse=True)
def models(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A models folder with one small random bundle called ``random``: a test double for a trained model."""
    folder = tmp_path_factory.mktemp("models")
    random_bundle(folder, small_config(has_sos=True))
    monkeypatch.setenv("FOCUSNET_MODELS", str(folder))
    return folder


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_image(ct(), tmp_path / "scan.nrrd")


def ct() -> Volume:
    return head((36, 40, 40), (5.0, 5.0, 5.0))


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": ":".join(p for p in sys.path if p), "OMP_NUM_THREADS": "1"}


def test_segment_writes_organs_report_and_picture(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, report, picture = tmp_path / "o.seg.nrrd", tmp_path / "r.json", tmp_path / "p.png"
    assert run("segment", scan, "-o", out, "--model", "random", "--report", report, "--picture", picture) == 0
    result = read_seg_nrrd(out)
    assert result.geometry.same_grid_as(ct().geometry)
    written = json.loads(report.read_text())
    assert {o["name"] for o in written["organs"]} == {"Brainstem", "SpinalCord", "Parotid_R", "Parotid_L", "Larynx"}
    assert written["model"]["name"] == "random"
    assert picture.read_bytes()[:4] == b"\x89PNG"
    printed = capsys.readouterr()
    assert "Parotid_L" in printed.out
    assert "not a medical device" in printed.out


def test_json_progress_is_one_object_a_line_and_ends_with_the_result(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o.seg.nrrd"
    assert run("segment", scan, "-o", out, "--model", "random", "--json-progress", "--hu-offset", 0) == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    fractions = [line["fraction"] for line in lines if line["event"] == "progress"]
    assert fractions == sorted(fractions)
    assert {line["event"] for line in lines} == {"warning", "progress", "result"}
    assert lines[-1] == {"event": "result", "segmentation": str(out), "report": None}


def test_nifti_out_and_chosen_organs(scan: Path, tmp_path: Path) -> None:
    assert (
        run("segment", scan, "-o", tmp_path / "o.nii.gz", "--model", "random", "--organs", "left parotid,Larynx") == 0
    )
    assert set(json.loads((tmp_path / "o.labels.json").read_text())) == {"Parotid_L", "Larynx"}


def existing(tmp_path: Path) -> Path:
    path = tmp_path / "there.seg.nrrd"
    path.write_text("precious")
    return path


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "nope"], "No model 'nope'"),
        (["--organs", "Heart"], "no organ 'Heart'"),
        (["--organs", ","], "No organ was asked for"),
        (["--device", "tpu"], "Device 'tpu' is unknown"),
        (["--precision", "fp8"], "Precision 'fp8' is unknown"),
        (["--backend", "magic"], "Backend 'magic' is unknown"),
        (["--series", "1.2.3"], "is a file"),
        (["--dicom", "rtstruct"], "do not fit"),
        (["--hu-offset", "nan"], "a number from -10000 to 10000"),
        (["--report", "missing-folder/r.json"], "does not exist"),
    ],
)
def test_bad_arguments_are_one_line_and_status_2(
    scan: Path, tmp_path: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o.seg.nrrd"
    model = [] if "--model" in options else ["--model", "random"]
    assert run("segment", scan, "-o", out, *model, *options) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert "Traceback" not in error
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scan.nrrd"]


@pytest.mark.parametrize(
    ("name", "words"),
    [("o.xyz", "no known ending"), ("missing/o.seg.nrrd", "does not exist"), ("scan.nrrd", "no known ending")],
)
def test_outputs_that_cannot_be_written_are_refused_before_any_work(
    scan: Path, tmp_path: Path, name: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("segment", scan, "-o", tmp_path / name, "--model", "random") == 2
    assert words in capsys.readouterr().err


def test_nothing_is_overwritten_unless_asked(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = existing(tmp_path)
    assert run("segment", scan, "-o", out, "--model", "random") == 2
    assert "pass --overwrite" in capsys.readouterr().err
    assert out.read_text() == "precious"
    assert run("segment", scan, "-o", out, "--model", "random", "--overwrite") == 0
    assert len(read_seg_nrrd(out).results) == 5


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder that nobody may write, root included")
def test_a_folder_that_may_not_be_written_is_said_so(scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("segment", scan, "-o", "/proc/o.seg.nrrd", "--model", "random") == 2
    error = capsys.readouterr().err
    assert "/proc" in error
    assert error.count("\n") == 1


def test_bad_usage_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("segment")
    assert stopped.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_errors_are_json_too_when_progress_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("segment", tmp_path / "no", "-o", tmp_path / "o.seg.nrrd", "--model", "random", "--json-progress") == 2
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["status"]) == ("error", 2)


def test_a_full_disk_leaves_nothing_half_written(scan: Path, tmp_path: Path) -> None:
    """A limit on file sizes stands in for a full disk: the write fails in the middle, in a process of its own."""
    out = tmp_path / "o.seg.nrrd"

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))

    done = subprocess.run(
        [sys.executable, "-B", "-m", "focusnet", "segment", str(scan), "-o", str(out), "--model", "random"],
        capture_output=True, text=True, env=environment(), preexec_fn=limit, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "cannot be written" in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scan.nrrd"]


def test_a_report_that_does_not_fit_says_that_the_segmentation_is_there(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise OutputError("r.json cannot be written.")

    monkeypatch.setattr("focusnet.io.json_report.write_report", no_room)
    out = tmp_path / "o.seg.nrrd"
    assert run("segment", scan, "-o", out, "--model", "random", "--report", tmp_path / "r.json") == 2
    assert capsys.readouterr().err == f"focusnet: r.json cannot be written. The segmentation {out} is written.\n"
    assert read_seg_nrrd(out).results


def test_interrupting_leaves_nothing_behind(scan: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "focusnet", "segment", str(scan), "-o", str(tmp_path / "o.seg.nrrd"), "--model", "random", "--json-progress"],
        stderr=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip
    assert process.stderr is not None
    process.stderr.readline()  # the first step has begun
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=600)
    assert process.returncode in (0, 130)  # 0: it was done before the signal came
    if process.returncode == 130:
        assert "Cancelled; nothing was written" in error
        assert sorted(p.name for p in tmp_path.iterdir()) == ["scan.nrrd"]


def test_batch_writes_scores_that_the_page_of_many_cases_reads(tmp_path: Path) -> None:
    from focusnet.reports.cohort import read_cohort

    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    write_image(ct(), source / "good.nrrd")
    assert run("batch", source, "-o", out, "--model", "random", "--qa") == 0
    scores = json.loads((out / "good.qa.json").read_text())
    drawn = read_seg_nrrd(out / "good.seg.nrrd")
    assert {o["organ"] for o in scores["organs"]} == {r.organ.name for r in drawn.results}
    (case,) = read_cohort(out).cases
    assert case.name == "good"
    assert case.look_at == [o["organ"] for o in scores["organs"] if o["state_hint"] == "look at"]
    assert case.scored_by, "the scores were found beside the report"


def test_a_batch_that_is_stopped_says_what_is_kept_and_goes_on_from_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        write_image(ct(), tmp_path / "in" / f"{name}.nrrd")
    from focusnet.batch import contour as commands

    read = commands.read_scan

    def stopped_at_b(path: Path, *more: object) -> Volume:
        if path.name == "b.nrrd":
            raise KeyboardInterrupt
        return read(path, *more)  # type: ignore[arg-type]

    command = ["batch", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--model", "random", "--device", "cpu"]
    monkeypatch.setattr(commands, "read_scan", stopped_at_b)
    assert main(command) == 130
    error = capsys.readouterr().err
    assert "Stopped at b, scan 2 of 2; what was done before is kept in" in error
    assert "nothing was written" not in error
    monkeypatch.setattr(commands, "read_scan", read)
    assert main(command) == 0
    with (tmp_path / "out" / "summary.csv").open(newline="") as handle:
        assert [(row["scan"], row["status"]) for row in csv.DictReader(handle)] == [("a", "kept"), ("b", "done")]


def test_batch_reports_a_bad_scan_goes_on_and_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    write_image(ct(), source / "good.nrrd")
    (source / "bad.nii.gz").write_text("no image")
    (source / "deep").mkdir()
    write_dicom(source / "deep" / "dicom")
    assert run("batch", source, "-o", out, "--model", "random") == 1
    rows = {row["scan"]: row for row in csv.DictReader((out / "summary.csv").open())}
    assert {name: row["status"] for name, row in rows.items()} == {
        "good": "done",
        "bad": "failed",
        "deep__dicom": "done",
    }
    assert "cannot be read as an image" in rows["bad"]["message"]
    organs = {o["name"]: o["status"] for o in json.loads((out / "good.json").read_text())["organs"]}
    told = {
        "found": int(rows["good"]["organs_found"]),
        **{s: len(rows["good"][s.replace(" ", "_")].split()) for s in ("uncertain", "not found")},
    }
    assert told == {s: list(organs.values()).count(s) for s in told}, "the table and the report say the same"
    before = (out / "good.seg.nrrd").stat().st_mtime_ns
    capsys.readouterr()
    assert run("batch", source, "-o", out, "--model", "random") == 1
    assert (out / "good.seg.nrrd").stat().st_mtime_ns == before
    rows = {row["scan"]: row for row in csv.DictReader((out / "summary.csv").open())}
    assert rows["good"]["status"] == "kept"
    assert run("batch", tmp_path / "nowhere", "-o", out, "--model", "random") == 2


def test_models_are_listed_shown_verified_and_installed(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("models", "list") == 0
    assert "random" in capsys.readouterr().out
    assert run("models", "show", "random") == 0
    shown = capsys.readouterr().out
    assert "Parotid_L" in shown
    assert "no held-out score" in shown
    assert run("models", "verify", "random") == 0
    other = random_bundle(tmp_path, name="other")
    assert run("models", "install", other.folder) == 0
    assert (models / "other" / "bundle.json").is_file()
    (models / "other" / "weights.safetensors").write_bytes(b"x")
    assert run("models", "verify", "other") == 2
    capsys.readouterr()
    assert run("models", "list") == 0
    assert "UNUSABLE" in capsys.readouterr().out


def test_evaluate_and_phantom(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("phantom", tmp_path / "p", "--seed", 3) == 0
    reference = tmp_path / "p" / "reference.seg.nrrd"
    assert str(reference) in capsys.readouterr().out
    assert run("evaluate", reference, reference, "-o", tmp_path / "t.csv", "--organs", "Lens_L,Parotid_R") == 0
    assert "1.000" in capsys.readouterr().out
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 3
    assert run("phantom", tmp_path / "p") == 2
    assert run("evaluate", reference, tmp_path / "none.seg.nrrd") == 2


def test_the_phantoms_reference_holds_the_organs_that_were_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("phantom", tmp_path / "p", "--organs", "Larynx,Mandible") == 0
    assert [r.organ.name for r in read_seg_nrrd(tmp_path / "p" / "reference.seg.nrrd").results] == [
        "Larynx",
        "Bone_Mandible",
    ]
    capsys.readouterr()
    assert run("phantom", tmp_path / "q", "--organs", "Larynx,Heart") == 2
    said = capsys.readouterr().err
    assert "has no organ Heart; it has Brainstem" in said
    assert not (tmp_path / "q").exists()


def test_the_demo_makes_a_phantom_and_labels_it_synthetic(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("demo", "-o", tmp_path / "demo", "--model", "random") == 0
    printed = capsys.readouterr().out
    assert "synthetic" in printed
    assert "3D Slicer" in printed
    report = json.loads((tmp_path / "demo" / "report.json").read_text())
    assert "synthetic" in report["source"]
    assert any("Synthetic" in note for note in report["notes"])
    assert run("demo", "-o", tmp_path / "demo", "--model", "random") == 2
    assert run("demo", "-o", tmp_path / "demo", "--model", "random", "--overwrite") == 0


def test_the_demo_can_be_run_twice_and_compares_explains_and_says_how_to_look(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("focusnet-demo", "focusnet-demo-2"):
        assert run("demo", "--model", "random") == 0
        assert (tmp_path / folder / "organs.seg.nrrd").is_file()
        said = capsys.readouterr().out
        assert f"In {folder}:" in said
        assert "Compared with the phantom's true organs (reference.seg.nrrd): DSC" in said
        assert re.search(r"^  Brainstem +0\.\d\d +\d+\.\d mm$", said, re.MULTILINE)
        assert "Drawn by no model here: OpticChiasm" in said
        assert "reference.seg.nrrd   its true organs" in said
        assert re.search(rf"To look at the picture: \S+ {folder}/comparison.png", said)
        assert (tmp_path / folder / "comparison.png").is_file()
        assert all(f"  {path.name} " in said for path in (tmp_path / folder).iterdir())  # each file is explained


def test_the_demo_runs_the_models_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("focusnet.nets.bundle_folders.model_folders", lambda: [tmp_path])
    assert demo_models() == "han7-openkbp"  # the sentence about a missing model names it
    for name in ("head22-synthetic", "han7-openkbp", "another"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "bundle.json").touch()
    assert demo_models() == "han7-openkbp,head22-synthetic"


def test_the_demo_leaves_nothing_in_a_git_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone, elsewhere = tmp_path / "clone", tmp_path / "temporary"
    (clone / ".git").mkdir(parents=True)
    (clone / "below").mkdir()
    elsewhere.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    assert free_folder(clone / "below") == elsewhere / "focusnet-demo"


def test_the_demo_takes_a_scan_of_the_users(scan: Path, tmp_path: Path) -> None:
    assert run("demo", scan, "-o", tmp_path / "mine", "--model", "random") == 0
    assert not (tmp_path / "mine" / "ct.nrrd").exists()


def test_labels_are_never_negative_or_above_the_number_of_organs(scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.seg.nrrd"
    assert run("segment", scan, "-o", out, "--model", "random") == 0
    result = read_seg_nrrd(out)
    assert set(np.unique(result.labels)) <= set(range(6))


@pytest.mark.parametrize("option", ["--seed-point", "--seed"])
def test_a_seed_point_is_taken_under_its_name_and_under_its_older_one(option: str) -> None:
    asked = build_parser().parse_args(["segment", "ct.nrrd", "-o", "o.seg.nrrd", f"{option}=Larynx=1,2,3"])
    assert asked.seed_points == ["Larynx=1,2,3"]
