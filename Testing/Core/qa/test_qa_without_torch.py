"""Where PyTorch is not installed yet the list is still there: shapes of small organs are left out, and said to be."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from focusnet.cli.main import main
from focusnet.io.seg_nrrd import write_seg_nrrd

from ..helpers_qa import phantom_case


@pytest.fixture
def organs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    real = importlib.util.find_spec

    def without_torch(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "torch" else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without_torch)
    write_seg_nrrd(phantom_case()[1], tmp_path / "organs.seg.nrrd")
    return tmp_path / "organs.seg.nrrd"


def test_the_list_is_made_and_says_what_was_left_out(organs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["qa", str(organs)]) == 0
    said = capsys.readouterr()
    assert "PyTorch is not installed: the shapes of small organs were not looked at." in said.err
    assert "Brainstem" in said.out


def test_shape_priors_that_were_asked_for_are_refused_in_one_line(
    organs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape_priors = organs.with_name("shape-priors.seg.nrrd")
    assert main(["qa", str(organs), "--ghosts", str(shape_priors)]) == 2
    assert "The shape model needs PyTorch" in capsys.readouterr().err
    assert not shape_priors.exists()
