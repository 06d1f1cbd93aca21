"""A request and its settings are valid once they are constructed; progress is read from files, without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from focusnet.errors import ConfigError, DatasetError
from focusnet.train.settings import STAGE_ORDER, TUNE, Settings
from focusnet.train.setup.options import read_options
from focusnet.train.setup.request import TrainRequest
from focusnet.train.setup.run_manifest import write_manifest
from focusnet.train.stage_progress import current_stage, read_progress
from focusnet.train.stages.table import STAGES


def test_the_stages_stand_in_their_order() -> None:
    assert tuple(STAGES) == (*STAGE_ORDER, TUNE)  # that of fine-tuning is in no other run


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"stages": ("snet", "sos2")}, "Stage sos2 is unknown; choose from snet, sol, aae, sos, joint"),
        ({"stages": ()}, r"Stage \(none\) is unknown"),
        ({"network": {"widht": 0.5}}, "has widht; known are"),
        ({"network": {"width": "half"}}, "width is 'half'; a number is expected"),
        ({"settings": {"precision": "fp8"}}, 'precision is \'fp8\'; "fp32" or "bf16" or "fp16" or "auto" is expected'),
        ({"settings": {"steps": 0}}, "Setting steps is 0; expected at least 1"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_when_it_is_made(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        TrainRequest(Path("data"), Path("run"), **wrong)


def test_a_request_cannot_be_changed_into_one_that_was_not_checked() -> None:
    request = TrainRequest(Path("data"), Path("run"), stages=["snet"])  # type: ignore[arg-type]
    assert request.stages == ("snet",)
    with pytest.raises(AttributeError):
        request.stages = ("sos2",)  # type: ignore[misc]


@pytest.mark.parametrize("key", ["precision", "schedule", "heatmap_loss", "aae_mode"])
def test_the_values_of_a_setting_stand_once_and_are_checked_in_files_and_in_python(key: str, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(f'[settings]\n{key} = "none of them"\n')
    with pytest.raises(ConfigError, match=rf"\[settings\] {key} is 'none of them'; \".* is expected"):
        read_options(path)
    with pytest.raises(ConfigError, match=f"Setting {key} is 'none of them'; expected "):
        Settings(**{key: "none of them"})


def test_a_script_that_catches_data_set_errors_still_catches_wrong_settings() -> None:
    assert issubclass(ConfigError, DatasetError)


def test_the_stage_that_reported_last_is_the_current_one(tmp_path: Path) -> None:
    write_manifest(tmp_path, {"settings": {"snet": {"steps": 100}, "sol": {"steps": 40}, "aae": {"steps": 10}}})
    assert current_stage(read_progress(tmp_path)) is None
    (tmp_path / "snet.csv").write_text("step,loss,seconds_per_step\n40,0.5,3.0\n70,0.4,2.0\n80,0.3")
    (tmp_path / "sol.csv").write_text("step,loss,seconds_per_step\n10,0.25,6.0\n")
    (tmp_path / "sol.validation.csv").write_text("step,score,Lens_L_mm\n5,-2.5,2.5\n")
    snet, sol, aae = read_progress(tmp_path)
    assert (snet.step, snet.loss, snet.minutes_left, snet.scores) == (70, 0.4, 1.0, {}), "a torn row does not count"
    assert (sol.step, sol.done, sol.minutes_left, sol.scores) == (10, False, 3.0, {"score": -2.5, "Lens_L_mm": 2.5})
    assert (sol.scores_step, aae.step, aae.loss, aae.minutes_left) == (5, 0, None, None)
    current = current_stage([snet, sol, aae])
    assert current is not None
    assert current.stage == "sol"


def test_progress_and_requests_need_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\nimport focusnet.train.stage_progress, focusnet.train.status\n"
        "from focusnet.train.setup.request import TrainRequest"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(p for p in sys.path if p)})
