"""A person says where a small organ is: SOS-Net looks there, that organ alone is run again, and what cannot be done is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from focusnet.cli.main import main
from focusnet.errors import InputError
from focusnet.image.segmentation import OrganResult, Segmentation
from focusnet.image.volume import Volume
from focusnet.inference.backends import TorchBackend
from focusnet.inference.segment import segment
from focusnet.nets.bundle import ModelBundle

from ..helpers_engine import head, random_bundle, reoriented, small_config

SHAPE = (60, 48, 44)  # 300 mm: four chunks of 16 slices of 6 mm
WEIGHTS = 6  # these random weights fill a part of the larynx's ROI: neither nothing nor all


@pytest.fixture(scope="module")
def scan() -> Volume:
    return head(SHAPE)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    """No small organ is sure of itself here: SOS-Net runs only where a seed is."""
    return random_bundle(
        tmp_path_factory.mktemp("models"), small_config(has_sos=True, location_threshold=1.01), seed=WEIGHTS
    )


def place_mm(scan: Volume, *fractions_zyx: float) -> tuple[float, float, float]:
    index = np.array(fractions_zyx) * (np.array(scan.geometry.shape_zyx) - 1)
    x, y, z = scan.geometry.index_to_mm(index)
    return (float(x), float(y), float(z))


def row(result: Segmentation, organ: str) -> OrganResult:
    return next(r for r in result.results if r.organ.name == organ)


def run(scan: Volume, bundle: ModelBundle, **options: object) -> Segmentation:
    return segment(scan, bundle, device="cpu", precision="fp32", **options)  # type: ignore[arg-type]


def test_a_seed_moves_the_organ_to_where_the_person_said(scan: Volume, bundle: ModelBundle) -> None:
    places = [place_mm(scan, 0.25, 0.5, 0.5), place_mm(scan, 0.75, 0.5, 0.5)]
    for place in places:
        result = run(scan, bundle, seeds={"larynx": place}, organs=["Larynx"])
        larynx = row(result, "Larynx")
        assert larynx.found
        assert np.abs(np.array(larynx.peak_mm_xyz) - place).max() <= 3.0 + 1e-6  # half a voxel of the network's grid
        assert larynx.volume_ml > 0
        voxels = scan.geometry.index_to_mm(np.argwhere(result.mask("Larynx")))
        roi_mm = np.array([16, 16, 8]) * 6.0
        assert (np.abs(voxels - np.array(place)) <= roi_mm / 2 + 6.0).all()
        assert "at the place given by the user" in larynx.notes[0]
        assert result.provenance["seeds_mm_lps"] == {"Larynx": list(place)}


def test_the_place_does_not_depend_on_how_the_scan_is_stored(scan: Volume, bundle: ModelBundle) -> None:
    stored = reoriented(scan, (2, 1, 0), (True, False, True))
    seeds = {"Larynx": place_mm(scan, 0.3, 0.4, 0.6)}
    here, there = (row(run(s, bundle, seeds=seeds, organs=["Larynx"]), "Larynx") for s in (scan, stored))
    assert here.volume_ml == pytest.approx(there.volume_ml, rel=0.01)
    np.testing.assert_allclose(here.peak_mm_xyz, there.peak_mm_xyz, atol=1e-6)


@pytest.mark.parametrize("stride", [16, 8])
@pytest.mark.parametrize("height", [0.02, 0.27, 0.5, 0.68, 0.98])
def test_the_organ_alone_is_what_the_whole_run_gives_for_it_from_fewer_slices(
    scan: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stride: int, height: float
) -> None:
    """Also where the ROI crosses a chunk's border, and with chunks that overlap."""
    bundle = random_bundle(tmp_path, small_config(has_sos=True, location_threshold=1.01, stride=stride), seed=WEIGHTS)
    chunks: list[int] = []
    original = TorchBackend.run

    def counted(self: TorchBackend, ct: torch.Tensor) -> object:
        chunks.append(ct.shape[0])
        return original(self, ct)

    monkeypatch.setattr(TorchBackend, "run", counted)
    seeds = {"Larynx": place_mm(scan, height, 0.5, 0.5)}
    whole = run(scan, bundle, seeds=seeds)
    in_whole = len(chunks)
    alone = run(scan, bundle, seeds=seeds, organs=["Larynx"])
    assert len(chunks) - in_whole < in_whole
    assert np.array_equal(whole.mask("Larynx"), alone.mask("Larynx"))
    assert alone.mask("Larynx").any()


def test_other_organs_are_as_without_the_seed(scan: Volume, bundle: ModelBundle) -> None:
    plain = run(scan, bundle)
    seeded = run(scan, bundle, seeds={"Larynx": place_mm(scan, 0.5, 0.5, 0.5)})
    elsewhere = ~seeded.mask("Larynx") & ~plain.mask("Larynx")
    assert np.array_equal(plain.labels[elsewhere], seeded.labels[elsewhere])
    assert not row(plain, "Larynx").found
    assert not np.array_equal(plain.mask("Larynx"), seeded.mask("Larynx"))


def test_what_cannot_be_seeded_is_refused_with_the_reason(
    scan: Volume, bundle: ModelBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(self: TorchBackend, ct: torch.Tensor) -> object:
        raise AssertionError("a refusal comes before the networks run")

    monkeypatch.setattr(TorchBackend, "run", never)
    here = place_mm(scan, 0.5, 0.5, 0.5)
    with pytest.raises(InputError, match=r"has no SOS-Nets .* cannot segment Larynx at a given place"):
        run(scan, random_bundle(tmp_path, small_config()), seeds={"Larynx": here})
    with pytest.raises(InputError, match="no SOS-Net for Parotid_L; seeds are for its small organs: Brainstem, Larynx"):
        run(scan, bundle, seeds={"Parotid_L": here})
    with pytest.raises(InputError, match="has no organ 'Heart'"):
        run(scan, bundle, seeds={"Heart": here})
    with pytest.raises(InputError, match="three finite numbers"):
        run(scan, bundle, seeds={"Larynx": (0.0, float("nan"), 1.0)})
    with pytest.raises(InputError, match=r"seed of Larynx at \(0.0, 0.0, 900.0\) mm \(LPS\) lies outside the scan"):
        run(scan, bundle, seeds={"Larynx": (0.0, 0.0, 900.0)})
    with pytest.raises(InputError, match="outside the part of the scan that is segmented"):
        run(scan, bundle, seeds={"Larynx": place_mm(scan, 0.5, 0.0, 0.0)})


def test_the_command_line_takes_seeds(
    scan: Volume, bundle: ModelBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = sitk.GetImageFromArray(scan.array)
    image.SetSpacing(scan.geometry.spacing_mm_xyz)
    image.SetOrigin(scan.geometry.origin_mm_xyz)
    sitk.WriteImage(image, str(tmp_path / "ct.nrrd"))
    x, y, z = place_mm(scan, 0.3, 0.5, 0.5)
    wanted = [
        *("segment", str(tmp_path / "ct.nrrd"), "-o", str(tmp_path / "out.seg.nrrd"), "--model", str(bundle.folder)),
        *("--device", "cpu", "--precision", "fp32", "--organs", "Larynx"),
    ]
    assert main([*wanted, f"--seed-point=larynx={x},{y},{z}"]) == 0
    from focusnet.io.seg_nrrd import read_seg_nrrd

    assert "at the place given by the user" in read_seg_nrrd(tmp_path / "out.seg.nrrd").results[0].notes[0]
    assert "Larynx" in capsys.readouterr().out
    expected = run(scan, bundle, seeds={"Larynx": (x, y, z)}, organs=["Larynx"])
    assert np.array_equal(read_seg_nrrd(tmp_path / "out.seg.nrrd").mask("Larynx"), expected.mask("Larynx"))
    for text, reason in (
        ("Larynx", "ORGAN=X,Y,Z"),
        ("Larynx=1,2", "ORGAN=X,Y,Z"),
        ("=1,2,3", "ORGAN=X,Y,Z"),
        ("Larynx=1,2,nan", "ORGAN=X,Y,Z"),
        ("Parotid_L=1,2,3", "no SOS-Net for Parotid_L"),
    ):
        assert main([*wanted, "--overwrite", "--seed-point", text]) == 2, text
        assert reason in capsys.readouterr().err
    assert main([*wanted, "--overwrite", "--seed-point=larynx=1,2,3", "--seed-point=LARYNX=1,2,4"]) == 2
    assert "Larynx has two seeds" in capsys.readouterr().err
