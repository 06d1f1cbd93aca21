"""From a scan to organs, with small random networks: place, sides, choices, retries, cancelling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from focusnet.errors import Cancelled, FocusNetError, InputError, ModelError
from focusnet.image.orientation import from_upright, to_upright
from focusnet.inference.backends import TorchBackend
from focusnet.inference.devices import choose_device
from focusnet.inference.options import SegmentOptions
from focusnet.inference.preprocess import preprocess
from focusnet.inference.results import organs_at_ends
from focusnet.inference.segment import segment
from focusnet.nets.bundle import ModelBundle, save_bundle
from focusnet.progress import Progress

from ..helpers_engine import head, random_bundle, random_network, reoriented, small_config


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    return random_bundle(tmp_path_factory.mktemp("models"), small_config(has_sos=True))


def test_the_chunked_pipeline_gives_what_one_pass_over_the_scan_gives(tmp_path: Path) -> None:
    """One chunk as long as the scan, arg-max of S-Net's scores, no interpolation: the same labels, voxel for voxel."""
    bundle = random_bundle(tmp_path, small_config(small_organs=(), chunk_slices=40, stride=40))
    scan = head((40, 48, 44), (6.0, 6.0, 6.0))
    result = segment(scan, bundle, device="cpu", precision="fp32")
    ct, record = preprocess(scan, bundle.config)
    with torch.no_grad():
        scores = bundle.build().snet(ct[None, None])[1][0]
    expected = scores.argmax(dim=0).numpy()
    start = np.round(scan.geometry.mm_to_index(record.network.index_to_mm(np.zeros(3)))).astype(int)
    inside = tuple(slice(s, s + n) for s, n in zip(start, expected.shape, strict=True))
    assert np.array_equal(result.labels[inside], expected)
    assert len(np.unique(expected)) > 2
    outside = result.labels.copy()
    outside[inside] = 0
    assert not outside.any()


@pytest.mark.parametrize(
    ("axes", "flips"),
    [((2, 1, 0), (False, False, False)), ((0, 1, 2), (False, False, True)), ((1, 2, 0), (True, False, True))],
)
def test_a_scan_stored_another_way_has_its_organs_in_the_same_place(
    bundle: ModelBundle, axes: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> None:
    scan = head()
    expected = segment(scan, bundle, device="cpu", precision="fp32").labels
    stored = reoriented(scan, axes, flips)
    result = segment(stored, bundle, device="cpu", precision="fp32")
    assert result.geometry.same_grid_as(stored.geometry)
    upright, _, _, _ = to_upright(result.labels, result.geometry)
    for value in np.unique(expected):
        a, b = expected == value, upright == value
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.99


def test_mirroring_the_patient_is_not_the_same_as_storing_the_scan_flipped(bundle: ModelBundle) -> None:
    """A file that is flipped AND says so gives the same organs; one that is flipped without saying so is another patient."""
    scan = head()
    honest = segment(reoriented(scan, (0, 1, 2), (False, False, True)), bundle, device="cpu", precision="fp32").labels
    plain = segment(scan, bundle, device="cpu", precision="fp32").labels
    assert np.array_equal(from_upright(plain, (0, 1, 2), (False, False, True)), honest)
    assert not np.array_equal(plain, honest)


def test_only_the_organs_that_were_asked_for_come_out(bundle: ModelBundle) -> None:
    result = segment(head(), bundle, device="cpu", organs=["parotid l", "BrainStem"])
    assert {r.organ.name for r in result.results} == {"Parotid_L", "Brainstem"}
    assert set(np.unique(result.labels)) <= {0, *(r.label for r in result.results)}
    with pytest.raises(InputError, match="has no organ 'Heart'"):
        segment(head(), bundle, organs=["Heart"])


def test_an_organ_below_the_threshold_is_uncertain_and_keeps_s_nets_voxels(tmp_path: Path) -> None:
    unsure = random_bundle(tmp_path, small_config(has_sos=True, location_threshold=1.01))
    s_net_alone = random_bundle(tmp_path, small_config(has_sos=True, location_threshold=1.01), name="alone")
    result = segment(head(), unsure, device="cpu", precision="fp32")
    alone = segment(head(), s_net_alone, device="cpu", precision="fp32")
    for organ in unsure.small_organs:
        row = next(r for r in result.results if r.organ.name == organ)
        assert not row.found
        assert row.peak is not None
        assert row.status == ("uncertain" if row.volume_ml else "not found")
        assert "1.01 is needed" in row.warnings[0]
        assert row.warnings[0].startswith("Uncertain: the model is not sure where") == bool(row.volume_ml)
        assert row.grade == ("alarm" if row.volume_ml else "warning")
        assert any("Not found" in warning for warning in row.warnings) == (row.status == "not found")
    assert np.array_equal(result.labels, alone.labels)


def test_sos_nets_result_replaces_what_s_net_said_about_a_small_organ(tmp_path: Path) -> None:
    sure = random_bundle(tmp_path, small_config(has_sos=True, location_threshold=0.0), name="sure")
    unsure = random_bundle(tmp_path, small_config(has_sos=True, location_threshold=1.01), name="unsure")
    with_sos, without = (segment(head(), b, device="cpu", precision="fp32") for b in (sure, unsure))
    value = 1 + sure.config.organs.index("Brainstem")
    assert not np.array_equal(with_sos.labels == value, without.labels == value)
    peak = next(r for r in with_sos.results if r.organ.name == "Brainstem").peak_mm_xyz
    assert peak is not None
    voxels = with_sos.geometry.index_to_mm(np.argwhere(with_sos.labels == value))
    half_roi_mm = np.array([8, 8, 4]) * 6.0  # the ROI may be moved inside the scan: twice that is the limit
    assert (np.abs(voxels - np.array(peak)) <= 2 * half_roi_mm + 6.0).all()


def test_an_organ_longer_than_its_roi_keeps_what_s_net_drew_above_and_below_it(tmp_path: Path) -> None:
    """SOS-Net fills its ROI here: an ordinary small organ is gone from all other slices, a long one stays there as S-Net drew it."""
    drawn = {}
    for name, long_organs in (("whole", ()), ("long", ("Larynx",))):
        config = small_config(has_sos=True, small_organs=("Larynx",), long_organs=long_organs)
        network = random_network(config)
        torch.nn.init.constant_(network.sosnets["Larynx"].head.bias, 1e4)  # type: ignore[union-attr, arg-type]
        result = segment(head(), save_bundle(tmp_path / name, name, network, {}), device="cpu", precision="fp32")
        larynx = next(r for r in result.results if r.organ.name == "Larynx")
        drawn[name] = (result.labels == larynx.label).any(axis=(1, 2))
    filled = np.flatnonzero(drawn["whole"])
    height = 8 * 6.0 / 5.0  # of the ROI, in the scan's slices
    assert height - 2 <= len(filled) <= height + 2
    assert filled.max() - filled.min() + 1 == len(filled), "one part"
    assert drawn["long"][filled].all()
    assert drawn["long"].sum() > 10 + len(filled)


def test_progress_rises_to_one_and_cancel_stops_the_work(bundle: ModelBundle) -> None:
    seen: list[Progress] = []
    segment(head(), bundle, device="cpu", progress=seen.append)
    fractions = [p.fraction for p in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0

    def stop(progress: Progress) -> None:
        if progress.fraction > 0.2:
            raise Cancelled

    with pytest.raises(Cancelled):
        segment(head(), bundle, device="cpu", progress=stop)


def test_chunks_can_be_longer_for_a_scan_than_they_were_in_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    run = TorchBackend.run

    def watched(self: TorchBackend, ct: torch.Tensor) -> object:
        seen.append(ct.shape[0])
        return run(self, ct)

    monkeypatch.setattr(TorchBackend, "run", watched)
    config = small_config(segment_slices=24)
    assert (config.chunk_slices, config.stride) == (16, 16)
    result = segment(head(), random_bundle(tmp_path, config), device="cpu")
    assert result.provenance["chunk_slices"] == 24
    assert max(seen) == 24
    assert len(seen) == -(-sum(seen) // 24)  # stacked: no overlap but that of the last one


def test_out_of_memory_is_tried_again_with_smaller_chunks_and_said_so(
    bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = TorchBackend.run

    def starved(self: TorchBackend, ct: torch.Tensor) -> object:
        if ct.shape[0] > 8:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return run(self, ct)

    monkeypatch.setattr(TorchBackend, "run", starved)
    result = segment(head(), bundle, device="cpu")
    assert result.provenance["chunk_slices"] == 8
    assert "16 slices, trying 8" in result.provenance["retries"][0]
    assert len(np.unique(result.labels)) > 2


def test_out_of_memory_everywhere_is_one_clear_line(bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def starved(self: TorchBackend, ct: torch.Tensor) -> object:
        raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes.")

    monkeypatch.setattr(TorchBackend, "run", starved)
    with pytest.raises(FocusNetError, match="Out of memory even with chunks of 8 slices"):
        segment(head(), bundle, device="cpu")


def test_another_runtime_error_is_not_mistaken_for_memory(bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: TorchBackend, ct: torch.Tensor) -> object:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(TorchBackend, "run", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        segment(head(), bundle, device="cpu")


def test_the_result_says_how_it_was_made(bundle: ModelBundle) -> None:
    result = segment(head(), bundle, device="cpu", precision="fp32")
    made = result.provenance
    assert made["model"] == bundle.name
    assert made["bundle_sha256"] == bundle.digest
    assert (made["device"], made["precision"], made["backend"]) == ("cpu", "fp32", "torch")
    assert made["seconds"] > 0
    assert "not a medical device" in made["disclaimer"]


@pytest.mark.parametrize(
    ("device", "precision"), [("tpu", "auto"), ("cuda:x", "auto"), ("cpu:1", "auto"), ("cpu", "fp8"), ("cpu", "fp16")]
)
def test_devices_and_precisions_that_are_not_there_are_refused(device: str, precision: str) -> None:
    with pytest.raises(InputError):
        choose_device(device, precision)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_said_in_words() -> None:
    with pytest.raises(InputError, match="no usable NVIDIA GPU"):
        choose_device("cuda")


def test_volumes_in_the_result_are_in_millilitres(bundle: ModelBundle) -> None:
    result = segment(head(), bundle, device="cpu")
    for row in result.results:
        assert row.volume_ml == pytest.approx((result.labels == row.label).sum() * 0.125)


def test_an_organ_in_the_scans_end_slice_is_flagged(bundle: ModelBundle) -> None:
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[1, 1, 1], labels[3, 2, 2] = 1, 2
    _, record = preprocess(head(), bundle.config)
    assert organs_at_ends(labels, record) == {2}


def test_a_models_name_or_folder_does_as_well_as_the_bundle(
    bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOCUSNET_MODELS", str(bundle.folder.parent))
    expected = segment(head(), bundle, device="cpu").labels
    for model in (bundle.folder, str(bundle.folder), bundle.folder.name):
        assert np.array_equal(segment(head(), model, device="cpu").labels, expected)
    with pytest.raises(ModelError, match="No model 'nope'"):
        segment(head(), "nope")


def test_an_unknown_keyword_is_a_type_error(bundle: ModelBundle) -> None:
    with pytest.raises(TypeError, match="organ"):
        segment(head(), bundle, organ=["Larynx"])  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"device": "tpu"}, "Device 'tpu' is unknown"),
        ({"precision": "fp8"}, "Precision 'fp8' is unknown"),
        ({"backend": "tensorrt"}, "Backend 'tensorrt' is unknown; choose auto, torch or openvino"),
        ({"organs": ["Heart"]}, "has no organ 'Heart'"),
        ({"organs": []}, "No organ was asked for"),
        ({"seeds": {"Parotid_L": (0, 0, 0)}}, "no SOS-Net for Parotid_L"),
    ],
)
def test_options_that_cannot_work_cannot_be_made(bundle: ModelBundle, wrong: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        SegmentOptions(bundle, **{"device": "cpu", **wrong})  # type: ignore[arg-type]


def test_options_say_what_was_chosen(bundle: ModelBundle) -> None:
    options = SegmentOptions(bundle.folder, "cpu", "fp32", organs=["larynx"], seeds={"LARYNX": (1, 2, 3)})
    assert options.bundle.digest == bundle.digest
    assert (str(options.chosen_device), options.chosen_device.precision) == ("cpu", "fp32")
    assert options.wanted == {"Larynx"}
    assert options.seeds_mm == {"Larynx": (1.0, 2.0, 3.0)}
