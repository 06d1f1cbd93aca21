"""``benchmarks/gpu_check.py`` works before a card is at hand: its dry run on the CPU reaches every part."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest


def test_the_gpu_check_runs_dry_and_fills_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = Path(__file__).parents[3] / "benchmarks" / "gpu_check.py"
    monkeypatch.syspath_prepend(str(script.parent))
    spec = importlib.util.spec_from_file_location("gpu_check", script)
    assert spec is not None
    assert spec.loader is not None
    check = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check)
    check.main(["--tiny", "--device", "cpu", "--json", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text())
    assert not [value for value in found.values() if isinstance(value, str) and value.startswith("failed")]
    for name in ("end to end s", "network fp32 channels last s", "network bf16 folded s", "layers"):
        assert found[name], name
    assert any(name.startswith("training step") for name in found)
    assert any("of which arg-max and restoring" in name for name in found)
    assert "(goal 0.5)" in capsys.readouterr().out
