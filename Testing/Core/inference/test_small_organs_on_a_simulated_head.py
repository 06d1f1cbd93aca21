"""The model of small organs that ships, on a head that is painted here: ellipsoids for organs, the simulator's tissues and scanner.

It shows that the bundle works and keeps left and right; how good it is on heads of people stands in its model card.
"""

from __future__ import annotations

import numpy as np
import pytest

from focusnet import Segmentation, load_bundle, segment
from focusnet.datasets.bit_masks import BitMaskFolder
from focusnet.image.volume import Geometry, Volume
from focusnet.metrics import dice
from focusnet.nets.bundle import ModelBundle
from focusnet.simulate.specimen import make_specimen
from focusnet.simulate.variant import draw_variant
from focusnet.simulate.variants import labels_of_variants
from focusnet.simulate.variety import Variety

from ..helpers_labels import write_bit_masks

SPACING_MM_ZYX = (3.0, 1.0, 1.0)
SHAPE_ZYX = (56, 208, 176)
FOUND = ("Eye_L", "Eye_R", "Lens_L", "Lens_R")


@pytest.fixture(scope="module")
def bundle() -> ModelBundle:
    return load_bundle("head22-synthetic")


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> tuple[Volume, dict[str, np.ndarray]]:
    """A simulated scan and the true mask (z, y, x) of each organ."""
    folder = BitMaskFolder.open(write_bit_masks(tmp_path_factory.mktemp("labels") / "oars"))
    organs = tuple(labels_of_variants(folder))
    specimen = make_specimen(folder.read("oncologist", "p01"), organs, 0, "base")
    middle = specimen.geometry.index_to_mm((np.array(specimen.geometry.shape_zyx) - 1) / 2)
    rng = np.random.default_rng(0)
    variant = draw_variant(specimen, SHAPE_ZYX, SPACING_MM_ZYX, np.ravel(middle), Variety.ordinary(), rng)
    volume = Volume(np.rint(variant.hu).astype(np.int16), Geometry(SHAPE_ZYX, SPACING_MM_ZYX[::-1]), "simulated head")
    return volume, {organ: variant.labels == value for value, organ in enumerate(organs, start=1)}


@pytest.fixture(scope="module")
def result(bundle: ModelBundle, head: tuple[Volume, dict[str, np.ndarray]]) -> Segmentation:
    return segment(head[0], bundle, device="cpu")


def center_mm(mask: np.ndarray) -> np.ndarray:
    return np.argwhere(mask).mean(axis=0) * SPACING_MM_ZYX


@pytest.mark.parametrize("organ", FOUND)
def test_globes_and_lenses_are_drawn_where_they_are(
    organ: str, result: Segmentation, head: tuple[Volume, dict[str, np.ndarray]]
) -> None:
    drawn, true = result.mask(organ), head[1][organ]
    assert np.linalg.norm(center_mm(drawn) - center_mm(true)) < 3.0
    assert dice(drawn, true) > (0.7 if organ.startswith("Eye") else 0.4)


def test_the_head_turned_into_its_mirror_image_has_its_left_eye_on_its_left(
    bundle: ModelBundle, head: tuple[Volume, dict[str, np.ndarray]]
) -> None:
    volume, masks = head
    mirrored = segment(Volume(volume.array[:, :, ::-1].copy(), volume.geometry, volume.source), bundle, device="cpu")
    for side, other in (("L", "R"), ("R", "L")):
        assert dice(mirrored.mask(f"Eye_{side}"), masks[f"Eye_{other}"][:, :, ::-1]) > 0.7


def test_the_result_says_on_what_the_model_was_trained(result: Segmentation) -> None:
    assert result.provenance["caution"] == "Trained on simulated CT only, research preview."


def test_the_bundle_says_that_its_scores_are_of_simulated_ct(bundle: ModelBundle) -> None:
    assert set(bundle.manifest["known_organs"]) == set(bundle.config.organs)
    assert {row["measured_on"] for row in bundle.manifest["known_organs"].values()} == {"simulated CT"}
