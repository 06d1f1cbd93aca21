"""What a new user types in the first minute: help, typing errors, the version, Tab, Ctrl-C, lists of models, wrong endings."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from focusnet.cli import main as command_line
from focusnet.cli.main import main
from focusnet.nets.bundle import available_bundles, find_bundle, install_bundle
from focusnet.version import __version__

from ..helpers_engine import random_bundle, small_config


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that a mistake in the arguments is answered with."""
    try:
        status = run(*arguments)
    except SystemExit as stop:
        status = int(stop.code or 0)
    error = capsys.readouterr().err
    assert status == 2
    assert error.count("\n") == 1
    return error


def test_without_arguments_the_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("usage: focusnet")
    assert "segment" in shown.out
    assert not shown.err


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["segmnt", "a"], "'segmnt' is unknown; did you mean segment?"),
        (["evalute"], "'evalute' is unknown; did you mean evaluate?"),
        (["models", "lst"], "'lst' is unknown; did you mean list?"),
        (["xyzzy"], "'xyzzy' is unknown; choose from segment, batch, node, demo"),
        (["segment", "--reprot", "r.json"], "unrecognised option --reprot; did you mean --report?"),
        (["segment", "a", "-o", "b.seg.nrrd", "--oraans=Parotid_L"], "unrecognised option --oraans; did you mean --organs?"),
        (["--versoin"], "unrecognised option --versoin; did you mean --version?"),
        (["segment", "a", "-o", "b.dcm", "--dicom", "rtstrct"], "'rtstrct' is unknown; did you mean rtstruct?"),
        (["segment"], "the following arguments are required: input, -o/--output."),
    ],
)  # fmt: skip
def test_a_typing_error_is_named_before_what_is_missing_with_what_was_meant(
    words: list[str], answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer in refused(capsys, *words)


def test_options_may_still_be_shortened_and_hold_what_looks_like_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert "nosuch does not exist" in refused(capsys, "report", "nosuch", "--outp", "x.html", "--title=--mine")


@pytest.mark.parametrize(
    ("organs", "answer"),
    [("Parotd_L", "did you mean Parotid_L?"), ("Parotid", "did you mean Parotid_L or Parotid_R?"), ("Heart", "has no organ 'Heart'")],
)  # fmt: skip
def test_a_misspelt_organ_is_asked_about(
    organs: str, answer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer in refused(capsys, "segment", "a", "-o", tmp_path / "b.seg.nrrd", "--organs", organs)


def test_the_version_names_python_torch_and_the_device(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run("--version")
    assert not stop.value.code
    said = capsys.readouterr().out
    assert re.fullmatch(rf"focusnet {re.escape(__version__)}, Python 3\.\d+\.\d+, torch \S+, device \S.*\n", said)


def test_the_version_without_torch_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SystemExit):
        run("--version")
    assert "torch is not installed" in capsys.readouterr().out


def test_ctrl_c_gives_the_status_that_shells_expect(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("focusnet.nets.bundle.available_bundles", interrupted)
    assert run("models", "list") == 130 == command_line.STOPPED
    assert capsys.readouterr().err == "focusnet: Cancelled; nothing was written.\n"


def test_tab_completes_commands_and_options(tmp_path: Path) -> None:
    pytest.importorskip("argcomplete", reason="the extra completion is not installed")

    def completed(line: str) -> list[str]:
        answer = tmp_path / "answer"
        environment = {
            **os.environ,
            "PYTHONPATH": ":".join(p for p in sys.path if p),
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
            "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
            "COMP_LINE": line,
            "COMP_POINT": str(len(line)),
            "IFS": "\n",
        }
        script = "import sys; sys.argv = ['focusnet']; from focusnet.cli.main import main; main()"
        subprocess.run([sys.executable, "-c", script], env=environment, check=False, timeout=600)
        return answer.read_text().replace("\x0b", "\n").split()

    assert completed("focusnet seg") == ["segment"]
    assert "--report" in completed("focusnet segment --rep")


@pytest.mark.parametrize("name", ["r.txt", "r.pdf", "r"])
def test_a_report_of_an_unknown_kind_is_refused_like_a_picture(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "segment", "a", "-o", tmp_path / "b.seg.nrrd", "--report", tmp_path / name)
    assert f"Output {tmp_path / name} has an unknown ending; .json or .html or .htm is expected." in said


def test_a_report_of_what_is_not_there_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "nosuch does not exist" in refused(capsys, "report", tmp_path / "nosuch", "-o", tmp_path / "x.html")


def test_the_list_of_models_names_its_folders_and_a_shadowed_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FOCUSNET_MODELS", str(tmp_path / "mine"))
    assert run("models", "list") == 0
    plain = capsys.readouterr().out
    assert f"{tmp_path / 'mine'}: none yet; 'focusnet models install FOLDER' copies a bundle here" in plain
    shipped = find_bundle("han7-openkbp")
    assert f"{shipped.parent}: " in plain
    assert "takes the place of" not in plain
    shutil.copytree(shipped, tmp_path / "mine" / "han7-openkbp")
    assert run("models", "list") == 0
    line = next(text for text in capsys.readouterr().out.splitlines() if text.startswith("han7-openkbp"))
    assert line.endswith(
        f"(in {tmp_path / 'mine' / 'han7-openkbp'}; takes the place of the shipped model of this name)"
    )
    assert len([f for f in available_bundles() if f.name == "han7-openkbp"]) == 1


def test_installing_a_model_with_a_shipped_ones_name_says_what_it_hides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FOCUSNET_MODELS", str(tmp_path / "mine"))
    assert run("models", "install", find_bundle("han7-openkbp")) == 0
    assert "takes the place of the shipped model of this name" in capsys.readouterr().out


def test_one_organ_is_singular(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FOCUSNET_MODELS", str(tmp_path))
    random_bundle(tmp_path, small_config(organs=("Brainstem",), small_organs=("Brainstem",)))
    assert run("models", "list") == 0
    assert "1 organ," in capsys.readouterr().out


def test_weights_can_be_read_by_every_user_of_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOCUSNET_MODELS", str(tmp_path / "mine"))
    random_bundle(tmp_path / "made", small_config())
    (folder,) = (tmp_path / "made").iterdir()
    kept = install_bundle(folder).folder
    for path in (*folder.glob("*.safetensors"), *kept.glob("*.safetensors")):
        assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0 or not shutil.which("setpriv"),
    reason="only root can give a folder to another user and lay its own rights down",
)
@pytest.mark.parametrize(
    "words",
    [
        ("segment", "PRIVATE/ct.nrrd", "-o", "o.seg.nrrd"),
        ("evaluate", "PRIVATE/a.seg.nrrd", "PRIVATE/b.seg.nrrd"),
        ("datasets", "check", "PRIVATE"),
        ("datasets", "init", "PRIVATE/below"),
        ("report", "PRIVATE/a.seg.nrrd", "-o", "x.html"),
        ("export", "PRIVATE/a.seg.nrrd", "-o", "o.nii.gz"),
    ],
)
def test_what_may_not_be_read_is_one_line_and_no_internal_error(words: tuple[str, ...], tmp_path: Path) -> None:
    private = tmp_path / "private"
    (private / "below").mkdir(parents=True)
    private.chmod(0o700)
    os.chown(private, 65534, 65534)
    given = [word.replace("PRIVATE", str(private)) for word in words]
    rights = (
        "-dac_override,-dac_read_search"  # root without them reads its own files, this Python's too, and no one else's
    )
    environment = {**os.environ, "PYTHONPATH": ":".join(p for p in sys.path if p), "FOCUSNET_MODELS": "/nonexistent"}
    done = subprocess.run(
        ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}", sys.executable, "-m", "focusnet", *given],
        capture_output=True, text=True, env=environment, cwd=tmp_path, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "may not be read or written by you" in done.stderr
    assert done.stderr.count("\n") == 1
    assert str(private) in done.stderr
