"""Metrics by hand, at their limits, and against independent libraries."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from focusnet.cli.main import main
from focusnet.errors import InputError
from focusnet.evaluation.case_pairs import evaluate_files
from focusnet.evaluation.evaluate import evaluate
from focusnet.evaluation.score_table import summarise
from focusnet.image.organs import find_organ
from focusnet.image.segmentation import OrganResult, Segmentation
from focusnet.image.volume import Geometry
from focusnet.io.label_map import write_nifti
from focusnet.io.seg_nrrd import write_seg_nrrd
from focusnet.metrics import added_voxels, dice, surface_distances, volume_ml

SPACING = (3.0, 1.0, 1.0)
EMPTY = np.zeros((10, 20, 20), bool)


def box(
    z: tuple[int, int], y: tuple[int, int], x: tuple[int, int], shape: tuple[int, int, int] = (10, 20, 20)
) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[z[0] : z[1], y[0] : y[1], x[0] : x[1]] = True
    return mask


def blob(seed: int, shape: tuple[int, int, int] = (16, 40, 40)) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), (1.5, 4, 4))
    grid = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    return sum(g**2 for g in grid) + 2 * noise < 0.5  # type: ignore[no-any-return]


def test_two_boxes_by_hand() -> None:
    a, b = box((2, 6), (5, 15), (5, 15)), box((2, 6), (5, 15), (7, 17))
    assert dice(a, b) == pytest.approx(0.8)
    distances = surface_distances(a, b, SPACING)
    assert distances.hausdorff_mm == pytest.approx(2.0)
    assert distances.hd95_average_mm == pytest.approx(2.0)
    assert volume_ml(a, SPACING) == pytest.approx(1.2)
    assert added_voxels(a, b) == (80, 80)


def test_a_shift_by_one_slice_is_one_slices_thickness() -> None:
    a, b = box((2, 3), (5, 6), (5, 6)), box((3, 4), (5, 6), (5, 6))
    assert surface_distances(a, b, SPACING).hausdorff_mm == pytest.approx(3.0)


def test_equal_masks_are_perfect_also_of_one_voxel_and_at_the_border() -> None:
    for mask in (box((0, 10), (0, 20), (0, 20)), box((0, 1), (0, 1), (0, 1)), blob(0)[:10, :20, :20]):
        distances = surface_distances(mask, mask, SPACING)
        assert dice(mask, mask) == 1.0
        assert distances.hd95_maximum_mm == distances.mean_mm == 0.0
        assert distances.surface_dice(1.0) == 1.0


def test_absent_from_both_has_no_score_and_absent_from_one_has_the_worst() -> None:
    both = surface_distances(EMPTY, EMPTY, SPACING)
    assert all(math.isnan(v) for v in (dice(EMPTY, EMPTY), both.hd95_average_mm, both.mean_mm, both.surface_dice(2.0)))
    for a, b in ((EMPTY, box((1, 3), (1, 3), (1, 3))), (box((1, 3), (1, 3), (1, 3)), EMPTY)):
        one = surface_distances(a, b, SPACING)
        assert dice(a, b) == 0.0
        assert one.surface_dice(2.0) == 0.0
        assert all(math.isinf(v) for v in (one.hd95_average_mm, one.hd95_maximum_mm, one.mean_mm, one.hausdorff_mm))


def test_the_papers_hd95_averages_the_two_directions() -> None:
    a, b = box((2, 8), (2, 18), (2, 18)), box((2, 8), (2, 18), (2, 10))
    there, back = surface_distances(a, b, SPACING).percentile_pair(95)
    assert there != back
    assert surface_distances(a, b, SPACING).hd95_average_mm == pytest.approx((there + back) / 2)
    assert surface_distances(a, b, SPACING).hd95_maximum_mm == max(there, back)


@pytest.mark.parametrize("seed", range(4))
def test_distances_agree_with_monai(seed: int) -> None:
    """MONAI takes surfaces as we do, voxels that touch the outside: the same numbers."""
    theirs = pytest.importorskip("monai.metrics", reason="MONAI is not installed (extra test)")
    torch = pytest.importorskip("torch")
    a, b = blob(seed), blob(seed + 100)
    ours = surface_distances(a, b, SPACING)
    pair = [torch.from_numpy(m)[None, None].float() for m in (a, b)]
    assert dice(a, b) == pytest.approx(float(theirs.compute_dice(*pair)))
    hd95 = theirs.compute_hausdorff_distance(*pair, include_background=True, percentile=95, spacing=SPACING)
    assert ours.hd95_maximum_mm == pytest.approx(float(hd95), rel=1e-4)
    one_way = theirs.compute_average_surface_distance(*pair, include_background=True, spacing=SPACING)
    assert float(ours.a_to_b_mm.mean()) == pytest.approx(float(one_way), rel=1e-4)
    surface = theirs.compute_surface_dice(*pair, [2.0], include_background=True, spacing=SPACING)
    assert ours.surface_dice(2.0) == pytest.approx(float(surface), rel=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_the_hausdorff_distance_agrees_with_itk(seed: int) -> None:
    a, b = blob(seed), blob(seed + 50)
    images = [sitk.GetImageFromArray(m.astype(np.uint8)) for m in (a, b)]
    for image in images:
        image.SetSpacing(SPACING[::-1])
    measure = sitk.HausdorffDistanceImageFilter()
    measure.Execute(*images)
    assert surface_distances(a, b, SPACING).hausdorff_mm == pytest.approx(measure.GetHausdorffDistance(), rel=1e-5)


def segmentation(masks: dict[str, np.ndarray], order: int = 1) -> Segmentation:
    names = list(masks)[::order]
    labels = np.zeros(EMPTY.shape, np.uint8)
    results = []
    for label, name in enumerate(names, start=1):
        labels[masks[name]] = label
        organ = find_organ(name)
        assert organ is not None
        results.append(OrganResult(organ=organ, label=label, found=bool(masks[name].any()), volume_ml=0.0))
    return Segmentation(labels, Geometry(EMPTY.shape, SPACING[::-1]), tuple(results))


LEFT, RIGHT = box((2, 6), (5, 9), (12, 16)), box((2, 6), (5, 9), (4, 8))


def test_organs_are_matched_by_name_not_by_label_value() -> None:
    ours, theirs = (
        segmentation({"Parotid_L": LEFT, "Parotid_R": RIGHT}),
        segmentation({"Parotid_L": LEFT, "Parotid_R": RIGHT}, order=-1),
    )
    assert [r.dsc for r in evaluate(ours, theirs)] == [1.0, 1.0]
    swapped = segmentation({"Parotid_L": RIGHT, "Parotid_R": LEFT})
    assert [r.dsc for r in evaluate(swapped, theirs)] == [0.0, 0.0]


def test_what_the_reference_does_not_name_is_unknown_and_what_we_lack_is_missed() -> None:
    ours, theirs = segmentation({"Parotid_L": LEFT}), segmentation({"Parotid_R": RIGHT})
    rows = evaluate(ours, theirs)
    assert [(r.organ, r.dsc) for r in rows] == [("Parotid_R", 0.0)]
    summary = summarise(rows)[0]
    assert (summary.cases, summary.missed) == (1, 1)
    assert math.isnan(summary.hd95_average_mm)


def test_another_grid_is_refused_with_both_grids() -> None:
    ours = segmentation({"Parotid_L": LEFT})
    other = Segmentation(ours.labels, Geometry(EMPTY.shape, (1.0, 1.0, 2.5)), ours.results)
    with pytest.raises(InputError, match=r"the grids differ.*Resample"):
        evaluate(other, ours)


def test_files_and_folders_of_either_format_can_be_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = (
        segmentation({"Parotid_L": LEFT, "Parotid_R": RIGHT}),
        segmentation({"Parotid_L": LEFT, "Parotid_R": LEFT[::-1]}),
    )
    for folder in ("ours", "theirs"):
        (tmp_path / folder).mkdir()
    for case in ("a", "b"):
        write_seg_nrrd(ours, tmp_path / "ours" / f"{case}.seg.nrrd")
        write_nifti(theirs, tmp_path / "theirs" / f"{case}.nii.gz")
    command = ["evaluate", str(tmp_path / "ours"), str(tmp_path / "theirs"), "-o", str(tmp_path / "t.csv")]
    assert main(command) == 0
    assert "Parotid_L" in capsys.readouterr().out
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("case,organ,dsc,hd95_average_mm")
    assert main(command) == 2
    assert "exists" in capsys.readouterr().err
    with pytest.raises(InputError, match="not one of each"):
        evaluate_files(tmp_path / "ours", tmp_path / "theirs" / "a.nii.gz")
    (tmp_path / "theirs" / "b.nii.gz").unlink()
    with pytest.raises(InputError, match="no reference for b"):
        evaluate_files(tmp_path / "ours", tmp_path / "theirs")
    with pytest.raises(InputError, match=r"(?i)it has Parotid_L, Parotid_R"):
        evaluate_files(tmp_path / "ours" / "a.seg.nrrd", tmp_path / "theirs" / "a.nii.gz", organs=["Lens_L"])
