"""The shape model that ships judges small organs and nothing else; its shape priors lie where the organs lie, however the scan is stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from focusnet.cli.main import main
from focusnet.datasets.bit_masks import patient_of
from focusnet.datasets.organ_boxes import SMALL, Jitter, OrganShape, organ_shapes, tcia_shapes
from focusnet.datasets.tcia_oars import ANNOTATORS, TciaOars
from focusnet.errors import InputError, ModelError
from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Geometry
from focusnet.io.seg_nrrd import read_seg_nrrd, write_seg_nrrd
from focusnet.metrics import dice
from focusnet.nets.bundle import load_bundle, save_bundle
from focusnet.nets.config import preset
from focusnet.nets.shape_autoencoder import ShapeAutoencoder
from focusnet.nets.shape_box import ShapeBox, cut, paste
from focusnet.phantom.write import write_phantom
from focusnet.qa import ShapeModel, load_shape_model
from focusnet.qa.measure import measure_all
from focusnet.qa.ranking import rank_organs
from focusnet.qa.shape_model import ShapeModels
from focusnet.qa.shape_prior import shape_prior, shape_priors

from ...paths import ROOT
from ..helpers_outputs import NAMES, scan_and_organs, segmentation, stored_as
from ..helpers_qa import label_of, phantom_case, with_labels

CONFIG = preset("paper", organs=SMALL, small_organs=SMALL)
SHIPPED = ROOT / "FocusNetSegmentation" / "Resources" / "Models" / "shapes-tcia-oars"
LARGE_SHIPPED = SHIPPED.with_name("shapes-large")
GEOMETRY = Geometry((24, 60, 60), (1.0, 1.0, 2.5), (-20.0, 10.0, 5.0))


@pytest.fixture(scope="module")
def prior() -> ShapeModel:
    return load_shape_model(SHIPPED)


def wedge() -> np.ndarray:
    """Alike to nothing when mirrored: long to +x, thicker at its start."""
    mask = np.zeros(GEOMETRY.shape_zyx, bool)
    for step in range(24):
        half = 6 - step // 5
        mask[12 - half // 2 : 12 + half // 2, 28 - half : 28 + half, 16 + step] = True
    return mask


def shape(organ: str, mask: np.ndarray) -> OrganShape:
    x, y, z = GEOMETRY.index_to_mm(np.argwhere(mask).mean(axis=0))
    return OrganShape("made for a test", "nobody", organ, mask, GEOMETRY, (x, y, z))


def test_what_is_cut_out_and_pasted_back_is_what_was_there() -> None:
    mask = wedge()
    for organ in ("OpticNrv_L", "OpticNrv_R"):
        drawn = shape(organ, mask)
        box = ShapeBox.around(drawn.center_mm_xyz, organ, CONFIG)
        back = paste(cut(mask, GEOMETRY, box), box, GEOMETRY)
        assert dice(back, mask) > 0.93, organ
        center = np.argwhere(back).mean(axis=0) - np.argwhere(mask).mean(axis=0)
        assert np.abs(center * GEOMETRY.spacing_mm_zyx).max() < 0.5


def test_a_left_organ_is_seen_as_its_mirror_image() -> None:
    left, right = (shape(organ, wedge()).draw(CONFIG) for organ in ("OpticNrv_L", "OpticNrv_R"))
    assert dice(left[:, :, ::-1], right) > 0.95
    assert dice(left, right) < 0.9


def test_jitter_moves_the_shape_by_no_more_than_it_says() -> None:
    rng = np.random.default_rng(0)
    jitter = Jitter((3.0, 4.0, 4.0), 0.0, (1.0, 1.0))
    drawn = shape("Lens_R", wedge())
    still = np.argwhere(drawn.draw(CONFIG)).mean(axis=0)
    moves = np.array([np.argwhere(drawn.draw(CONFIG, jitter, rng)).mean(axis=0) - still for _ in range(20)])
    assert np.abs(moves * CONFIG.spacing_mm_zyx).max(axis=0) == pytest.approx([3, 4, 4], abs=1.2)


def test_only_small_organs_that_were_contoured_become_shapes() -> None:
    _, reference = phantom_case()
    found = list(organ_shapes(reference, "phantom", "nobody"))
    assert {s.organ for s in found} == {"Lens_L", "Lens_R", "OpticNrv_L", "OpticNrv_R"}
    lens = next(s for s in found if s.organ == "Lens_L")
    assert lens.mask.sum() == (reference.labels == label_of(reference, "Lens_L")).sum()
    assert np.allclose(lens.center_mm_xyz, centre_mm(reference, "Lens_L"), atol=0.01)


def centre_mm(reference: Segmentation, name: str) -> np.ndarray:
    return reference.geometry.index_to_mm(np.argwhere(reference.mask(name)).mean(axis=0))


def test_the_shipped_shape_model_verifies_and_is_at_most_8_mib(capsys: pytest.CaptureFixture[str]) -> None:
    bundle = load_bundle(SHIPPED, kind="shape")
    bundle.check_weights()
    assert sum(p.stat().st_size for p in SHIPPED.iterdir()) <= 8 * 2**20
    assert {o.name for o in bundle.organs} == set(SMALL)
    card = (SHIPPED.parents[3] / "docs" / "model-cards" / "shapes-tcia-oars.md").read_text(encoding="utf-8")
    assert "CC BY 4.0" in card
    assert "Nikolov" in card
    assert main(["models", "list"]) == 0
    assert "shapes-tcia-oars     shape model for focusnet qa" in capsys.readouterr().out


def test_a_shape_model_is_refused_where_a_scan_is_to_be_contoured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ModelError, match="shape model, which judges small organs"):
        load_bundle(SHIPPED)
    with pytest.raises(ModelError, match=r"a shape model, .* is expected"):
        load_shape_model("han7-openkbp")
    ct = write_phantom(tmp_path, spacing_mm_xyz=(4.0, 4.0, 6.0))[0]
    assert main(["segment", str(ct), "-o", str(tmp_path / "o.seg.nrrd"), "--model", str(SHIPPED)]) == 2
    assert "shapes-tcia-oars is a shape model" in capsys.readouterr().err


def test_another_organs_shape_in_an_optic_nerves_place_is_odd(prior: ShapeModel) -> None:
    _, reference = phantom_case()
    label = label_of(reference, "OpticNrv_L")
    index = np.argwhere(reference.labels == label)
    labels = np.where(reference.labels == label, 0, reference.labels).astype(np.uint8)
    z, y, x = index.mean(axis=0).round().astype(int)
    labels[z - 2 : z + 3, y - 5 : y + 6, x - 5 : x + 6] = label  # a block
    values = {}
    for name, case in (("nerve", reference), ("block", with_labels(reference, labels))):
        entry = rank_organs(case, shape_model=prior).organ("OpticNrv_L")
        values[name] = next(s for s in entry.scores if s.id == "shape_latent")
    assert values["block"].severity > 1.0
    assert values["block"].severity > 1.5 * values["nerve"].severity
    assert values["block"].reason.startswith("Odd shape")


def test_large_organs_and_small_ones_that_it_does_not_know_get_no_shape_score(prior: ShapeModel) -> None:
    _, reference = phantom_case()
    result = rank_organs(reference, shape_model=prior)
    assert not any(s.id.startswith("shape") for s in result.organ("Brainstem").scores)
    chiasm = next(s for s in result.organ("OpticChiasm").scores if s.id == "shape_latent")
    assert not chiasm.applies
    assert "does not know this organ" in chiasm.reason


def test_shape_priors_lie_on_their_organs_however_the_scan_is_stored(prior: ShapeModel) -> None:
    _, reference = phantom_case()
    upright = shape_priors(reference, prior)
    assert {r.organ.name for r in upright.results} == {"Lens_L", "Lens_R", "OpticNrv_L", "OpticNrv_R"}
    for name in ("Lens_L", "OpticNrv_R"):  # the phantom's nerve is no real one, but its shape prior lies where it lies
        assert np.linalg.norm(centre_mm(upright, name) - centre_mm(reference, name)) < 3, name
    assert dice(upright.mask("Lens_L"), reference.mask("Lens_L")) > 0.4  # of 18 voxels
    labels, grid = stored_as(reference.labels, reference.geometry, (1, 2, 0), (True, False, True))
    again = shape_priors(replace(reference, labels=labels, geometry=grid), prior)
    back, _ = stored_as(upright.labels, reference.geometry, (1, 2, 0), (True, False, True))
    assert np.array_equal(again.labels, back)
    assert np.array_equal(shape_prior(reference, "Lens_L", prior), upright.mask("Lens_L"))


def test_shape_priors_of_large_organs_alone_are_refused(
    prior: ShapeModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, large = scan_and_organs()
    with pytest.raises(InputError, match="nothing to make a shape prior of"):
        shape_priors(large, prior)
    write_seg_nrrd(large, tmp_path / "organs.seg.nrrd")
    assert (
        main(
            [
                "qa",
                str(tmp_path / "organs.seg.nrrd"),
                "--ghosts",
                str(tmp_path / "g.seg.nrrd"),
                "--shape-model",
                str(SHIPPED),
            ]
        )
        == 2
    )
    assert "nothing to make a shape prior of" in capsys.readouterr().err


def test_the_command_writes_shape_priors_on_the_scans_grid(tmp_path: Path) -> None:
    _, reference = phantom_case()
    write_seg_nrrd(reference, tmp_path / "organs.seg.nrrd")
    out = tmp_path / "shape-priors.seg.nrrd"
    assert (
        main(["qa", str(tmp_path / "organs.seg.nrrd"), "--shape-model", str(SHIPPED), "--shape-priors", str(out)]) == 0
    )
    written = read_seg_nrrd(out)
    assert written.geometry.same_grid_as(reference.geometry)
    assert written.provenance["model"] == "shapes-tcia-oars"


def test_each_organ_is_seen_by_the_model_that_knows_it_on_a_grid_of_its_own(tmp_path: Path, prior: ShapeModel) -> None:
    """A bundle of large organs beside the shipped one: its box is as coarse as its organ is large, and it scores nothing."""
    config = preset("paper", organs=NAMES[:2], small_organs=NAMES[:2], aae_width=0.125, roi_size_zyx=(16, 16, 16))
    shipped = prior.bundle.manifest["shape_statistics"]["Lens"]
    code = {"center": [0.0] * 64, "components": [[1.0] + [0.0] * 63], "sd": [1.0], "rest_sd": 1.0}
    about = {
        "kind": "shape", "scores": False, "box_spacing_mm_zyx": {NAMES[0]: [4.0, 5.0, 6.0]},
        "shape_statistics": {NAMES[0]: {**shipped, "latent": code}},
    }  # fmt: skip
    large = ShapeModel(save_bundle(tmp_path / "large", "large", ShapeAutoencoder(config), about))
    both = ShapeModels([prior, large])
    assert (both.rebuilds("Lens_L"), both.rebuilds(NAMES[0]), both.rebuilds("Larynx")) == (True, True, False)
    assert (both.knows("Lens_L"), both.knows(NAMES[0])) == (True, False)
    _, drawn = scan_and_organs()
    m = measure_all(drawn.labels, drawn.geometry, drawn)[NAMES[0]]
    view = both.reconstruct(m, drawn.geometry)
    assert (view.box.spacing_mm_zyx, view.mask.shape) == ((4.0, 5.0, 6.0), (16, 16, 16))
    volume_ml = float(view.mask.sum()) * 0.12
    assert volume_ml == pytest.approx(m.volume_ml, rel=0.3)
    assert both.describe()["name"] == "shapes-tcia-oars + large"


def test_the_large_organs_bundle_verifies_is_small_and_gives_large_organs_back() -> None:
    bundle = load_bundle(LARGE_SHIPPED, kind="shape")
    bundle.check_weights()
    assert sum(p.stat().st_size for p in LARGE_SHIPPED.iterdir()) <= 4 * 2**20
    assert (ROOT / "docs" / "model-cards" / "shapes-large.md").is_file()
    model = load_shape_model()
    assert model.describe()["name"] == "shapes-tcia-oars + shapes-large"
    assert all(model.rebuilds(o) for o in ("Parotid_L", "Brainstem", "Larynx", "Esophagus", "Lens_R"))
    assert not model.rebuilds("SpinalCord"), "thin in a coarse box: it does not come back well enough"
    assert not model.knows("Parotid_L"), "its shape is shown, not scored"
    _, reference = phantom_case()
    made = shape_priors(reference, model, ("Brainstem", "Parotid_L", "Eye_L"))
    assert {r.organ.name for r in made.results} == {"Brainstem", "Parotid_L", "Eye_L"}
    for name in ("Brainstem", "Parotid_L", "Eye_L"):  # the phantom's organs are no real ones: near is enough
        assert np.linalg.norm(centre_mm(made, name) - centre_mm(reference, name)) < 6, name


def test_a_segment_of_one_voxel_is_not_a_reason_to_fail(prior: ShapeModel) -> None:
    _, base = scan_and_organs()
    labels = np.zeros_like(base.labels)
    labels[10, 10, 10] = 1
    result = rank_organs(segmentation(labels, base.geometry, ("Lens_L",)), shape_model=prior)
    assert any(reason.startswith("Unusually small") for reason in result.organs[0].reasons)


@pytest.mark.slow
def test_patients_never_cross_splits_and_real_shapes_come_back(prior: ShapeModel, real_data: Path) -> None:
    dataset = TciaOars(real_data / "tcia-oars")
    people = {split: {patient_of(s) for s in scans} for split, scans in dataset.scans.items()}
    assert {k: len(v) for k, v in people.items()} == {"train": 20, "calibrate": 6, "held-out": 8}
    assert not people["train"] & people["calibrate"]
    assert not people["train"] & people["held-out"]
    assert not people["calibrate"] & people["held-out"]
    assert sum(map(len, dataset.scans.values())) == 35
    dataset.scans = {"held-out": dataset.scans["held-out"][:2]}
    shapes = tcia_shapes(dataset, "held-out")
    assert len(shapes) == 2 * len(ANNOTATORS) * len(SMALL)
    boxes = [(s, ShapeBox.around(s.center_mm_xyz, s.organ, prior.bundle.config)) for s in shapes]
    # nan: a cochlea of a few voxels can vanish on the network's grid
    assert np.nanmean([prior.reconstruct_box(s.draw(prior.bundle.config), box).dsc for s, box in boxes]) > 0.7
