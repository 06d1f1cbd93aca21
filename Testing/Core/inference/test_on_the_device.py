"""One way from the scan to the labels for CPU and GPU: the same voxels as the plain way, little memory, the GPU's branches included."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from focusnet.image.organs import organ_set
from focusnet.image.resample import resample_ct
from focusnet.image.volume import Geometry, Volume
from focusnet.inference import arrays, restore
from focusnet.inference.backends import TorchBackend, probabilities_of
from focusnet.inference.chunks import run_chunks
from focusnet.inference.devices import choose_device
from focusnet.inference.preprocess import network_grid, normalise, preprocess
from focusnet.inference.resample import resample_ct_on
from focusnet.inference.restore import StreamingArgmax, axis_maps
from focusnet.inference.segment import segment
from focusnet.nets.bundle import ModelBundle, load_bundle
from focusnet.nets.config import NetworkConfig
from focusnet.nets.focusnet import FocusNet

from ..helpers_engine import head, random_bundle, small_config

OPENKBP = Path(__file__).parents[4] / "shared" / "data" / "openkbp"
CPU = torch.device("cpu")
SMALL = ("Lens_L", "Lens_R", "OpticNrv_L", "OpticNrv_R", "OpticChiasm", "Pituitary")
GIB = 2**30


@pytest.fixture
def without_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operations of another device than the CPU, on the CPU."""
    for module in (arrays, restore):
        monkeypatch.setattr(module, "uses_numpy", lambda tensor: False)


@pytest.mark.parametrize("kind", [np.int16, np.float32, np.int32])
@pytest.mark.parametrize(
    ("spacing_mm_xyz", "shape_zyx"),
    [
        ((2.0, 2.0, 2.0), (50, 70, 66)),
        ((0.9, 1.1, 2.5), (31, 120, 150)),
        ((6.0, 6.0, 6.0), (20, 40, 40)),
        ((8.0, 7.0, 9.0), (12, 20, 24)),
        ((3.0, 3.0, 40.0), (1, 60, 60)),
    ],
)
def test_the_matrices_resample_as_itk_does(
    kind: type, spacing_mm_xyz: tuple[float, float, float], shape_zyx: tuple[int, int, int]
) -> None:
    scan = head(shape_zyx, spacing_mm_xyz)
    grid = network_grid(scan.geometry, np.array([3.3, -2.0, 0.0]), small_config())
    array = scan.array.astype(kind)
    ours = resample_ct_on(array, scan.geometry, grid, CPU).numpy()
    np.testing.assert_allclose(ours, resample_ct(array, scan.geometry, grid), atol=0.01)  # HU


def test_a_tilted_scan_is_resampled_by_itk_itself() -> None:
    angle = 5e-4  # too little to be called oblique, 0.1 mm over the field
    turn = ((np.cos(angle), -np.sin(angle), 0.0), (np.sin(angle), np.cos(angle), 0.0), (0.0, 0.0, 1.0))
    scan = head()
    tilted = Geometry(scan.geometry.shape_zyx, scan.geometry.spacing_mm_xyz, scan.geometry.origin_mm_xyz, turn)
    grid = network_grid(tilted, np.zeros(3), small_config())
    np.testing.assert_array_equal(
        resample_ct_on(scan.array, tilted, grid, CPU).numpy(), resample_ct(scan.array, tilted, grid)
    )


def plain_labels(scan: Volume, bundle: ModelBundle) -> np.ndarray:
    """S-Net's labels the plain way: ITK's resampling, every class interpolated everywhere by SciPy in double precision, arg-max once."""
    config = bundle.config
    _, record = preprocess(scan, config)
    ct = torch.from_numpy(normalise(resample_ct(scan.array, record.upright, record.network), config))
    backend = TorchBackend(bundle.build())
    slabs = run_chunks(ct, backend, config, config.chunk_when_segmenting)
    probabilities = torch.cat([slab.output.probabilities for slab in slabs], dim=1).numpy()
    maps = axis_maps(record.upright, record.network)
    places = np.stack(np.meshgrid(*[m.lower + m.weight.astype(float) for m in maps], indexing="ij"))
    best = np.argmax(
        [ndimage.map_coordinates(p.astype(float), places, order=1, mode="nearest") for p in probabilities], 0
    )
    labels = np.zeros(scan.array.shape, np.uint8)
    labels[tuple(slice(m.first, m.first + len(m)) for m in maps)] = best
    return labels


def test_a_scan_gets_the_labels_of_the_plain_way_up_to_ties(tmp_path: Path) -> None:
    bundle = random_bundle(tmp_path, small_config(small_organs=()))
    scan = head((60, 80, 76), (2.7, 3.1, 3.3))
    result = segment(scan, bundle, device="cpu", precision="fp32")
    different = int((result.labels != plain_labels(scan, bundle)).sum())
    assert different <= 1e-4 * (result.labels > 0).sum()
    assert len(np.unique(result.labels)) > 2


@pytest.mark.slow
def test_a_real_scan_gets_the_labels_of_the_plain_way_up_to_ties() -> None:
    if not OPENKBP.is_dir():
        pytest.skip("needs real scans: ../shared/data/openkbp")
    from focusnet.datasets.openkbp import OpenKBPDataset

    dataset = OpenKBPDataset(OPENKBP)
    case = dataset.case("val", dataset.patients("val")[1])
    scan, bundle = Volume(case.hu, case.geometry), load_bundle("han7-openkbp")
    result = segment(scan, bundle, device="cpu", precision="fp32")
    expected = plain_labels(scan, bundle)
    assert int((result.labels != expected).sum()) <= 1e-3 * (expected > 0).sum()


@pytest.mark.usefixtures("without_numpy")
def test_the_operations_of_a_gpu_give_the_same_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = random_bundle(tmp_path, small_config(has_sos=True, stride=8))
    there = segment(head(), bundle, device="cpu", precision="fp32")
    monkeypatch.undo()
    here = segment(head(), bundle, device="cpu", precision="fp32")
    np.testing.assert_array_equal(there.labels, here.labels)
    for a, b in zip(there.results, here.results, strict=True):
        assert (a.peak, a.peak_mm_xyz, a.second_peak, a.spread_mm) == (
            b.peak,
            b.peak_mm_xyz,
            b.second_peak,
            b.spread_mm,
        )


def test_probabilities_sum_to_one_and_do_not_depend_on_how_the_scores_lie() -> None:
    scores = torch.randn(1, 7, 4, 8, 8)
    expected = scores[0].softmax(dim=0)
    for stored in (scores, scores.to(memory_format=torch.channels_last_3d)):
        np.testing.assert_array_equal(probabilities_of(stored[0]), expected)


class Memory(TorchDispatchMode):
    """Adds up the bytes of the tensors that are alive; ``highest``: the most there ever were. It asks for sizes alone, so that tensors
    without content (FakeTensorMode) count as well."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.highest, self.known = 0, 0, set[int]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self._count(leaf.untyped_storage())
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self.known:
            return
        self.known.add(key)
        self.now += size
        self.highest = max(self.highest, self.now)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


def full_width() -> NetworkConfig:
    organs = tuple(organ.name for organ in organ_set("paper22"))
    return NetworkConfig(organs=organs, small_organs=tuple(o for o in SMALL if o in organs), has_sos=True)


def test_a_counted_tensor_is_given_back_when_it_goes() -> None:
    with Memory() as memory:
        a = torch.zeros(1000)
        b = a[:10]
        del a
        assert memory.now == 4000
        del b
        assert (memory.now, memory.highest) == (0, 4000)


def network_bytes(slices: int) -> int:
    """The most that S-Net, SOL-Net and a softmax hold for one chunk at full width in bf16: nothing is computed."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    config = full_width()
    usual = torch.get_default_dtype()
    with FakeTensorMode(), torch.inference_mode(), Memory() as memory:
        torch.set_default_dtype(torch.bfloat16)  # of the weights: tensors without content cannot be converted in place
        try:
            network = FocusNet(config).eval()
        finally:
            torch.set_default_dtype(usual)
        ct = torch.zeros(slices, *config.crop_size_yx)
        TorchBackend(network, torch.bfloat16).run(ct)
    return memory.highest


def restore_bytes() -> int:
    """The most that is held while 22 organs, six of them small, are restored to 512 x 512 x 300 voxels in chunks of 40 slices."""
    config = full_width()
    target = Geometry((300, 512, 512), (0.98, 0.98, 3.0))
    network = network_grid(target, np.array([250.0, 250.0, 450.0]), config)
    small = [config.organs.index(o) + 1 for o in config.small_organs]
    with Memory() as memory:
        labels = StreamingArgmax(target, network, small)
        for start in range(0, 300, 40):
            slab = torch.zeros(len(config.organs) + 1, min(40, 300 - start), *config.crop_size_yx)
            for value in range(1, len(slab)):
                slab[value, :, 8 * value : 8 * value + 40, 100:140] = 1.0 / value
            slab[0] = 0.02
            labels.add(slab)
            del slab
    assert torch.isin(labels.labels, torch.tensor(small, dtype=torch.uint8)).any(), "both label maps are filled in"
    return memory.highest


@pytest.mark.slow
def test_22_organs_on_300_slices_of_512_x_512_fit_into_3_gb() -> None:
    """Network and restoring never run at the same time, but a chunk's output is there for both; all are added up nevertheless."""
    network = network_bytes(40)
    scan = 300 * 512 * 512 * 2 + 300 * 240 * 240 * 4  # 16-bit integers, and floats on the network's grid
    restoring = restore_bytes()
    print(f"scan {scan / GIB:.2f}, network {network / GIB:.2f}, restoring {restoring / GIB:.2f} GiB")
    assert scan + network + restoring < 3 * GIB


def test_memory_does_not_grow_with_the_scans_length_but_for_the_labels() -> None:
    """One chunk's activations are the largest thing: half as many slices at once take half as much."""
    assert network_bytes(20) == pytest.approx(network_bytes(40) / 2, rel=0.1)
    assert network_bytes(40) < 2 * GIB
    assert choose_device("cpu").torch_device == CPU
