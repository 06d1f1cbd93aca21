"""A run that was begun before the dilation, or any other key of the network, existed goes on as it began."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from focusnet.errors import FocusNetError
from focusnet.train.setup.run_manifest import MANIFEST, check_same_run, network_of_the_run, read_manifest

from ..helpers_engine import small_config


def manifest(**changes: object) -> dict[str, object]:
    return {"network": small_config(**changes).to_json(), "settings": {}, "code": "x", "data": "d"}


def test_a_run_from_before_the_key_takes_its_old_dilation_along(tmp_path: Path) -> None:
    old = json.loads(json.dumps(manifest(dilation_zyx=(2, 2, 2))))
    del old["network"]["dilation_zyx"]
    (tmp_path / MANIFEST).write_text(json.dumps(old))
    assert read_manifest(tmp_path)["network"]["dilation_zyx"] == [2, 2, 2]
    assert network_of_the_run(tmp_path) == {"dilation_zyx": (2, 2, 2)}
    assert check_same_run(tmp_path, manifest(dilation_zyx=(2, 2, 2))) == []
    with pytest.raises(FocusNetError, match=r"network\.dilation_zyx was"):
        check_same_run(tmp_path, manifest())


def test_a_new_run_has_nothing_to_take_along(tmp_path: Path) -> None:
    assert network_of_the_run(tmp_path) == {}
    (tmp_path / MANIFEST).write_text(json.dumps(manifest()))
    assert network_of_the_run(tmp_path) == {}
    assert check_same_run(tmp_path, manifest()) == []


def test_a_run_from_before_any_other_key_of_the_network_goes_on_where_the_key_changes_nothing(tmp_path: Path) -> None:
    old = json.loads(json.dumps(manifest()))
    for key in ("uppermost_organs", "heatmap_bias", "sol_inputs"):
        del old["network"][key]
    (tmp_path / MANIFEST).write_text(json.dumps(old))
    assert check_same_run(tmp_path, manifest()) == []
    with pytest.raises(FocusNetError, match=r"network\.heatmap_bias was absent, is -4\.6"):
        check_same_run(tmp_path, manifest(heatmap_bias=-4.6))
