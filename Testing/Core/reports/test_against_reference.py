"""The picture of a result over its reference: both are drawn, small organs close up, and a bad result looks bad."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from focusnet.errors import OutputError
from focusnet.evaluation.evaluate import evaluate
from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Volume
from focusnet.phantom.write import phantom
from focusnet.reports.against_reference import (
    MOST_TILES,
    against_reference_picture,
    draw_pair,
    score_color,
    upright_pair,
    window_for,
)


@pytest.fixture(scope="module")
def case() -> tuple[Volume, Segmentation, Segmentation]:
    """The phantom, a result whose brainstem is 10 mm off and that has no left lens, and the reference."""
    volume, reference = phantom(0, (2.0, 2.0, 3.0))
    labels = reference.labels.copy()
    stem, lens = (next(r.label for r in reference.results if r.organ.name == n) for n in ("Brainstem", "Lens_L"))
    labels[labels == stem] = 0
    labels[np.roll(reference.labels == stem, 5, axis=2)] = stem
    labels[labels == lens] = 0
    return (
        volume,
        replace(reference, labels=labels, provenance={"source": "synthetic phantom", "model": "toy"}),
        reference,
    )


def _texts(case: tuple[Volume, Segmentation, Segmentation]) -> list[str]:
    volume, result, reference = case
    scores = evaluate(result, reference)
    figure = draw_pair(upright_pair(volume, result, reference, [s.organ for s in scores]), scores, result.provenance)
    words = [t for axes in figure.axes for t in (*axes.texts, axes.title, axes._left_title, axes._right_title)]
    return [t.get_text() for t in (*words, *figure.texts)]


def test_every_organ_has_its_row_and_the_smallest_ones_a_close_up(
    case: tuple[Volume, Segmentation, Segmentation],
) -> None:
    texts = _texts(case)
    for row in case[2].results:
        assert row.organ.name in texts
    assert texts.count("10 mm") == MOST_TILES
    assert texts.count("OpticChiasm") == 2  # in the table and over its close-up
    assert texts.count("Lobe_Temporal_L") == 1  # large


def test_what_is_off_or_missing_is_said(case: tuple[Volume, Segmentation, Segmentation]) -> None:
    texts = _texts(case)
    assert "not found" in texts  # the left lens
    assert "DSC 1.00" in texts
    assert "Synthetic phantom, not a patient. Research software, not a medical device." in texts
    assert len({score_color(dsc) for dsc in (0.9, 0.5, 0.1)}) == 3


def test_a_close_up_has_the_window_of_what_lies_about_the_organ(
    case: tuple[Volume, Segmentation, Segmentation],
) -> None:
    def seen(organ: str) -> tuple[float, float]:
        where = np.argwhere(case[2].mask(organ))
        (z0, y0, x0), (z1, y1, x1) = where.min(axis=0), where.max(axis=0) + 1
        return window_for(case[0].array[z0:z1, y0:y1, x0:x1])

    bone, brain, soft = seen("Ear_Internal_L"), seen("Brainstem"), seen("Parotid_L")
    assert bone[1] > 1000 > soft[1] > brain[1]
    assert bone[0] < soft[0] < brain[0] < 0


def test_the_reference_is_drawn_where_the_result_is_not(
    case: tuple[Volume, Segmentation, Segmentation], tmp_path: Path
) -> None:
    volume, result, reference = case
    scores = [s for s in evaluate(result, reference) if s.organ == "Brainstem"]
    pictures = []
    for name, ours in (("off", result), ("same", reference)):
        against_reference_picture(volume, replace(ours, provenance={}), reference, scores, tmp_path / f"{name}.png")
        pictures.append(matplotlib.image.imread(tmp_path / f"{name}.png")[..., :3])
    color = np.array(next(r.organ.color_rgb for r in reference.results if r.organ.name == "Brainstem")) / 255
    off, same = (np.abs(p - color).max(axis=-1) < 0.05 for p in pictures)
    assert off.any()
    assert same.any()
    assert (off & ~same).sum() > 200  # the shifted outline


def test_a_picture_in_the_way_is_kept(case: tuple[Volume, Segmentation, Segmentation], tmp_path: Path) -> None:
    (tmp_path / "there.png").write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists"):
        against_reference_picture(*case, [], tmp_path / "there.png")
    assert (tmp_path / "there.png").read_bytes() == b"mine"
