"""The overview is a radiologist's picture: right on the left, true proportions, every organ named, whatever the file's axes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text
from scipy import ndimage

from focusnet.errors import InputError
from focusnet.image.organs import ORGANS
from focusnet.image.segmentation import Segmentation
from focusnet.image.volume import Geometry, Volume
from focusnet.phantom.write import phantom
from focusnet.reports.overview import FOOTER, choose_slices, draw, overview

from ..helpers_outputs import GRIDS, MISSING, NAMES, organ, scan_and_organs, segmentation


def picture(volume: Volume, result: Segmentation, folder: Path, name: str = "overview.png") -> np.ndarray:
    """The PNG's pixels (rows, columns, 3), 0 to 255."""
    overview(volume, result, folder / name)
    return np.round(255 * imread(folder / name)[..., :3]).astype(int)


def texts(figure: Figure) -> dict[str, Text]:
    return {t.get_text(): t for t in figure.findobj(Text) if t.get_text()}


def pixels_of(image: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    return np.abs(image - color).max(axis=-1) <= 12


@pytest.mark.parametrize("grid", [g for g in GRIDS if "oblique" not in g and g != "upright"])
def test_the_picture_is_the_same_however_the_scan_was_stored(grid: str, tmp_path: Path) -> None:
    expected = picture(*scan_and_organs("upright"), tmp_path)
    np.testing.assert_array_equal(picture(*scan_and_organs(grid), tmp_path, "other.png"), expected)


def test_the_patients_right_is_on_the_left_the_head_above_and_the_nose_up(tmp_path: Path) -> None:
    image = picture(*scan_and_organs("mirrored x and y"), tmp_path)
    slices = image[:, : int(0.44 * image.shape[1])]  # axial above coronal; the legend is further right
    right, left, stem, cord = (
        np.argwhere(pixels_of(slices, organ(n).color_rgb))
        for n in ("Parotid_R", "Parotid_L", "Brainstem", "SpinalCord")
    )
    assert right[:, 1].max() < left[:, 1].min()
    coronal = image.shape[0] // 2
    assert stem[stem[:, 0] > coronal, 0].mean() < cord[cord[:, 0] > coronal, 0].mean(), "brain stem above the cord"
    axial_parotid, axial_cord = right[right[:, 0] < coronal, 0], cord[cord[:, 0] < coronal, 0]
    assert axial_parotid.mean() < axial_cord.mean(), "the parotid lies further to the front, so higher on the page"


def test_a_ball_is_round_in_each_slice_and_the_scale_bar_measures_it(tmp_path: Path) -> None:
    geometry = Geometry((26, 50, 100), (1.0, 2.0, 4.0))
    z, y, x = np.ogrid[:26, :50, :100]
    ball = (4.0 * (z - 12.5)) ** 2 + (2.0 * (y - 24.5)) ** 2 + (x - 49.5) ** 2 < 30.0**2
    result = segmentation(ball.astype(np.uint8), geometry, ("Brainstem",))
    image = picture(Volume(np.where(ball, 40, 0).astype(np.int16), geometry), result, tmp_path)
    rims, _ = ndimage.label(ndimage.binary_dilation(pixels_of(image, organ("Brainstem").color_rgb), iterations=2))
    boxes = [(b[0].stop - b[0].start, b[1].stop - b[1].start) for b in ndimage.find_objects(rims)]
    sides = np.array(sorted(boxes, key=lambda b: -b[0] * b[1])[:3])
    assert sides.shape == (3, 2), "one ball in each of three slices"
    assert sides.max() / sides.min() < 1.1, f"heights and widths in pixels: {sides}"
    pixels_per_mm = sides.mean() / 60.0
    left_half = pixels_of(image[image.shape[0] // 2 :, : image.shape[1] // 3], (232, 234, 237))
    longest = max(
        int(run.stop - run.start) for row in left_half for (run,) in ndimage.find_objects(ndimage.label(row)[0])
    )
    assert longest / pixels_per_mm == pytest.approx(20.0, rel=0.1)


def test_legend_and_footer_say_names_volumes_what_is_missing_and_what_made_it() -> None:
    volume, result = scan_and_organs()
    shown = texts(draw(volume, result))
    assert set(NAMES) <= set(shown)
    assert "4.8 ml" in shown
    assert "not found" in shown
    assert FOOTER in shown
    assert "not a medical device" in FOOTER
    assert "Model han7-test 1.2" in shown
    assert {"R", "L", "A", "P", "S", "I"} <= set(shown)
    assert not any(MISSING in t and t != MISSING for t in shown)


def test_a_slices_title_says_its_place_as_slicer_does() -> None:
    volume, result = scan_and_organs("sagittal slices")
    shown = " ".join(texts(draw(volume, result))).replace("\n", " ")
    axial = next(
        i
        for i in range(30)
        if f"Axial  I {300 - 4.0 * i:.1f} mm" in shown or f"Axial I {300 - 4.0 * i:.1f} mm" in shown
    )
    assert 10 <= axial < 18, "both parotids and the cord are in these slices"


def test_twenty_two_organs_fit_and_no_word_lies_on_another() -> None:
    organs = [o for o in ORGANS if "paper22" in o.sets]
    assert len(organs) == 22
    labels = np.zeros((30, 44, 44), np.uint8)
    for number in range(21):
        labels[2 + number : 8 + number, 2 * number : 2 * number + 3, 20:24] = number + 1
    geometry = Geometry(labels.shape, (3.0, 3.0, 3.0))
    figure = draw(
        Volume(np.zeros(labels.shape, np.int16), geometry),
        segmentation(labels, geometry, tuple(o.name for o in organs)),
    )
    shown = [t for t in figure.findobj(Text) if t.get_text()]
    assert {o.name for o in organs} <= {t.get_text() for t in shown}
    boxes = {t: t.get_window_extent() for t in shown}
    for text, box in boxes.items():
        assert min(box.x0, box.y0) >= 0, text
        assert box.x1 <= figure.bbox.width, text
        assert box.y1 <= figure.bbox.height, text
    for (one, first), (two, second) in combinations(boxes.items(), 2):
        assert not first.overlaps(second), (one, two)


def test_a_scan_without_any_organ_has_a_picture_that_says_so(tmp_path: Path) -> None:
    volume, result = scan_and_organs()
    nothing = segmentation(np.zeros_like(result.labels), result.geometry)
    assert "No organ was found in this scan." in texts(draw(volume, nothing))
    picture(volume, nothing, tmp_path)
    air = replace(volume, array=np.full_like(volume.array, -1000))
    picture(air, nothing, tmp_path, "air.png")


def test_an_oblique_scan_says_that_its_slices_are_oblique() -> None:
    volume, result = scan_and_organs("oblique and flipped")
    assert any("Oblique scan" in t for t in texts(draw(volume, result)))


def test_slices_are_chosen_to_show_most_organs() -> None:
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[5:8, 3:6, 2:5] = 1
    labels[5:8, 3:6, 12:15] = 2
    labels[12:18, 10:14, 8:10] = 3
    z, y, x = choose_slices(labels, [1, 2, 3])
    assert z in range(5, 8), "two organs beat one"
    assert y in range(10, 14), "the third has not been shown yet"
    assert x in (*range(2, 5), *range(12, 15), *range(8, 10))
    assert choose_slices(np.zeros((4, 6, 8), np.uint8), []) == (2, 3, 4)


def test_another_scans_contours_are_refused(tmp_path: Path) -> None:
    volume, _ = scan_and_organs("upright")
    _, other = scan_and_organs("head first")
    with pytest.raises(InputError, match="different grids"):
        overview(volume, other, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_drawing_needs_no_window_and_leaves_pyplot_alone(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom Testing.Core.helpers_outputs import scan_and_organs\nfrom focusnet.reports.overview import overview\n"
        "overview(*scan_and_organs(), sys.argv[1])\nsys.exit('matplotlib.pyplot' in sys.modules)\n"
    )
    environment = {"PYTHONPATH": ":".join(p for p in sys.path if p), "PATH": "", "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.png")], env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_a_large_field_of_view_is_cut_to_the_organs_and_some_anatomy() -> None:
    """Shoulders and air would leave a few pixels for the organs."""
    volume, result = scan_and_organs()
    wide = np.full((30, 136, 140), -1000, np.int16)
    wide[:8, 40:96, 5:135] = 40  # shoulders
    wide[:, 50:86, 50:90] = np.maximum(wide[:, 50:86, 50:90], volume.array)
    labels = np.zeros(wide.shape, np.uint8)
    labels[:, 50:86, 50:90] = result.labels
    geometry = Geometry(wide.shape, (2.0, 2.5, 4.0))
    figure = draw(Volume(wide, geometry), segmentation(labels, geometry))
    axial = figure.axes[0]
    assert 60 < axial.get_xlim()[1] < 160, "mm; the field is 280 mm wide, the shoulders 260 mm"


def test_a_synthetic_scan_is_labelled_so_in_its_picture() -> None:
    volume, reference = phantom(0, (5.0, 5.0, 6.0))
    figure = draw(volume, replace(reference, provenance={"source": "synthetic phantom, seed 0"}))
    assert any("Synthetic phantom, not a patient" in text.get_text() for text in figure.texts)


def test_a_mark_names_the_report_only_where_there_is_one_and_notes_raise_none() -> None:
    volume, organs = scan_and_organs()
    first, *rest = (replace(r, warnings=(), notes=()) for r in organs.results)

    def legend(report: str = "", **said: tuple[str, ...]) -> str:
        shown = replace(organs, results=(replace(first, **said), *rest))  # type: ignore[arg-type]
        texts = [text.get_text() for axes in draw(volume, shown, report).axes for text in axes.texts]
        assert (("!" in texts), any("has a warning" in t for t in texts)) in ((True, True), (False, False))
        return " ".join(t for t in texts if "!" in t)

    assert legend(notes=("2 separate parts removed.",)) == ""
    assert legend(warnings=("Cut off.",)) == "! !: has a warning"
    assert legend("r.html", warnings=("Cut off.",)) == "! !: has a warning, see r.html"
    assert "red: look at it first" in legend(alarms=("21 litres.",))
