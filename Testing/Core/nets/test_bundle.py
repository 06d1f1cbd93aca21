"""A bundle is used only if everything in it fits; every refusal says what is wrong."""

from __future__ import annotations

import json
import pickle  # noqa: TID251 - to plant one and see it refused
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import focusnet
from focusnet.cli.model_text import description
from focusnet.errors import ModelError
from focusnet.io.json_report import report
from focusnet.nets import bundle as bundle_module
from focusnet.nets.bundle import MANIFEST, WEIGHTS, ModelBundle, available_bundles, install_bundle, load_bundle, sha256
from focusnet.train.setup.fine_tune import inherited_network

from ..helpers_engine import head, random_bundle, random_network, small_config


@pytest.fixture
def bundle(tmp_path: Path) -> ModelBundle:
    return random_bundle(tmp_path)


def edit(bundle: ModelBundle, **changes: object) -> None:
    path = bundle.folder / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_weights_come_back_as_they_were_saved(bundle: ModelBundle) -> None:
    expected = random_network(small_config()).state_dict()
    network = bundle.build()
    assert not network.training
    for key, value in network.state_dict().items():
        assert torch.equal(value, expected[key])


def test_organs_in_the_bundle_carry_names_codes_and_colours(bundle: ModelBundle) -> None:
    entry = bundle.manifest["organs"][0]
    assert entry["name"] == "Brainstem"
    assert entry["small"] is True
    assert entry["snomed_code"].isdigit()
    assert len(entry["color_rgb"]) == 3


def test_one_flipped_byte_is_noticed(bundle: ModelBundle) -> None:
    path = bundle.folder / WEIGHTS
    raw = bytearray(path.read_bytes())
    raw[-5] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ModelError, match=r"sha256 [0-9a-f]{12}.. expected, [0-9a-f]{12}.. found"):
        load_bundle(bundle.folder)


def test_a_missing_weights_file_is_named(bundle: ModelBundle) -> None:
    (bundle.folder / WEIGHTS).unlink()
    with pytest.raises(ModelError, match=r"weights.safetensors is missing"):
        load_bundle(bundle.folder)


def test_a_tensor_of_another_shape_is_named_with_both_shapes(bundle: ModelBundle) -> None:
    path = bundle.folder / WEIGHTS
    tensors = load_file(path)
    tensors["snet.head.bias"] = torch.zeros(9)
    save_file(tensors, path)
    edit(bundle, sha256={WEIGHTS: sha256(path)})
    with pytest.raises(ModelError, match=r"snet.head.bias has shape \(9,\), \(6,\) is expected"):
        load_bundle(bundle.folder).build()


def test_a_pickle_in_the_folder_is_refused(bundle: ModelBundle) -> None:
    (bundle.folder / "extra.pt").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ModelError, match=r"extra.pt, which may contain a pickle"):
        load_bundle(bundle.folder)


def test_a_pickle_named_as_safetensors_is_refused(bundle: ModelBundle) -> None:
    path = bundle.folder / WEIGHTS
    path.write_bytes(pickle.dumps({"a": 1}))
    edit(bundle, sha256={WEIGHTS: sha256(path)})
    with pytest.raises(ModelError, match="not a readable safetensors file"):
        load_bundle(bundle.folder).build()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format_version": 99}, "bundle format 99 found, 1 expected"),
        ({"sha256": {}}, "no sha256 for weights.safetensors"),
        ({"sha256": {WEIGHTS: "0" * 64, "../../evil.safetensors": "0"}}, "sha256 000000000000.. expected|plain names"),
        ({"network": {"organs": ["Brainstem"], "sails": 3}}, "sails"),
        ({"network": {"organs": ["Third_Eye"]}}, "Third_Eye"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(bundle: ModelBundle, changes: dict[str, object], words: str) -> None:
    edit(bundle, **changes)
    with pytest.raises(ModelError, match=words):
        load_bundle(bundle.folder)


def test_a_manifest_that_is_not_json_is_refused(bundle: ModelBundle) -> None:
    (bundle.folder / MANIFEST).write_text("{ this is not")
    with pytest.raises(ModelError, match="cannot be read"):
        load_bundle(bundle.folder)


def test_an_unknown_name_lists_what_there_is(bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOCUSNET_MODELS", str(bundle.folder.parent))
    with pytest.raises(ModelError, match=r"No model 'nope'.*random"):
        load_bundle("nope")


def test_install_copies_a_verified_bundle_and_refuses_to_replace_one(
    bundle: ModelBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOCUSNET_MODELS", str(tmp_path / "mine"))
    installed = install_bundle(bundle.folder)
    assert installed.folder == tmp_path / "mine" / "random"
    assert installed.digest == bundle.digest
    assert load_bundle("random").folder == installed.folder
    with pytest.raises(ModelError, match="installed already"):
        install_bundle(bundle.folder)
    assert install_bundle(bundle.folder, overwrite=True).digest == bundle.digest
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["random"]


def test_install_takes_a_zip(bundle: ModelBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOCUSNET_MODELS", str(tmp_path / "mine"))
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", bundle.folder.parent, bundle.folder.name)
    assert install_bundle(archive).name == "random"


def test_a_bad_bundle_leaves_nothing_behind(
    bundle: ModelBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOCUSNET_MODELS", str(tmp_path / "mine"))
    (bundle.folder / WEIGHTS).write_bytes(b"cut short")
    with pytest.raises(ModelError):
        install_bundle(bundle.folder)
    assert list((tmp_path / "mine").iterdir()) == []


def test_users_bundles_come_before_those_that_ship(bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOCUSNET_MODELS", str(bundle.folder.parent))
    assert available_bundles()[0] == bundle.folder
    assert bundle_module.user_models_folder() == bundle.folder.parent


def test_saving_over_a_bundle_needs_to_be_said(bundle: ModelBundle) -> None:
    with pytest.raises(ModelError, match="exists"):
        random_bundle(bundle.folder.parent)


def test_a_models_caution_stands_in_the_result_and_its_report(bundle: ModelBundle) -> None:
    caution = "Trained on simulated CT only, research preview."
    assert bundle.caution == ""
    edit(bundle, caution=caution)
    cautious = load_bundle(bundle.folder)
    result = focusnet.segment(head(), cautious, device="cpu")
    assert result.provenance["caution"] == caution
    assert report(result)["run"]["caution"] == caution
    assert caution in description(cautious)


def test_a_bundle_from_before_the_dilation_was_a_key_is_built_as_it_was_trained(bundle: ModelBundle) -> None:
    network = json.loads((bundle.folder / MANIFEST).read_text())["network"]
    del network["dilation_zyx"]
    edit(bundle, network=network)
    old = load_bundle(bundle.folder)
    assert old.config.dilation_zyx == (2, 2, 2)
    assert inherited_network(old)["dilation_zyx"] == (2, 2, 2), "a run that starts from it goes on with it"
    assert load_bundle("han7-openkbp").config.dilation_zyx == (2, 2, 2)
