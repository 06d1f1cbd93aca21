"""The multi-atlas baseline: who may vote about what, what is refused in one line, and that organs land where they are."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from focusnet.baselines.atlas import (
    OUTSIDE,
    AtlasOptions,
    Warped,
    describe,
    registration_grid,
    segment_by_atlases,
    vote,
    wanted_labels,
)
from focusnet.cli.main import main
from focusnet.datasets.open_dataset import open_dataset
from focusnet.image.volume import Geometry, Volume
from focusnet.io.seg_nrrd import read_seg_nrrd
from focusnet.metrics import dice

from ..helpers_dataset import LABELS, write_dataset
from ..helpers_engine import reoriented

ALL = frozenset({1, 2})


def atlas(labels: list[int], contoured: frozenset[int] = ALL) -> Warped:
    return Warped("a", np.array(labels, np.uint8).reshape(1, 1, -1), contoured)


def voted(*atlases: Warped) -> list[int]:
    return [int(v) for v in vote(atlases, (1, 2)).ravel()]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"), train=4)


def test_more_than_half_of_the_voters_decide_and_a_tie_is_background() -> None:
    assert voted(atlas([1, 1, 1, 2]), atlas([1, 1, 0, 2]), atlas([1, 0, 0, 1])) == [1, 1, 0, 2]
    assert voted(atlas([1, 1]), atlas([0, 1])) == [0, 1]


def test_an_atlas_in_which_an_organ_was_not_contoured_abstains() -> None:
    """Two of three have no organ 1 because nobody drew it: the one that has decides. About organ 2 all three vote."""
    others = atlas([0, 0, 2], frozenset({2}))
    assert voted(atlas([1, 0, 0]), others, others) == [1, 0, 2]


def test_an_atlas_that_does_not_reach_a_voxel_abstains_there() -> None:
    assert voted(atlas([1, 1]), atlas([OUTSIDE, 0]), atlas([OUTSIDE, 0])) == [1, 0]
    assert voted(atlas([OUTSIDE]), atlas([OUTSIDE])) == [0]


def test_of_two_majorities_the_larger_share_wins() -> None:
    def shares(sure: int, unsure: int) -> list[Warped]:
        """All of two atlases say ``sure``, two of three say ``unsure``; neither group has the other's organ."""
        two_thirds = [atlas([v], frozenset({unsure})) for v in (unsure, unsure, 0)]
        return [*two_thirds, *[atlas([sure], frozenset({sure}))] * 2]

    assert voted(*shares(sure=2, unsure=1)) == [2]
    assert voted(*shares(sure=1, unsure=2)) == [1]


def test_an_organ_that_no_atlas_has_is_reported_and_not_called_absent() -> None:
    labels = np.zeros((2, 2, 2), np.uint8)
    rows = describe(
        labels,
        Geometry((2, 2, 2), (1.0, 1.0, 1.0)),
        wanted_labels(tuple(LABELS), None),
        [Warped("a", labels, frozenset({1, 2}))] * 4 + [Warped("b", labels, frozenset({1}))],
    )
    assert rows[0].warnings == ("Not found in this scan.",)
    assert rows[2].warnings == ("None of the 5 atlases has a contour of it.",)


def test_a_fine_scan_is_registered_on_coarser_voxels_in_the_same_place() -> None:
    hu = np.full((30, 60, 60), -1000.0, np.float32)
    hu[10:20, 20:50, 30:50] = 3000.0
    geometry = Geometry((30, 60, 60), (1.0, 1.0, 4.0), (5.0, -7.0, 11.0))
    coarse, grid = registration_grid(hu, geometry)
    assert grid.spacing_mm_zyx == (4.0, 3.0, 3.0)
    assert coarse.max() == 1000.0
    centers = [g.index_to_mm(np.argwhere(a > 0).mean(axis=0)) for a, g in ((hu, geometry), (coarse, grid))]
    assert np.abs(np.subtract(*centers)).max() < 1.5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--atlases", "0"], "0 atlases were asked for; the split train has 4 cases"),
        (["--atlases", "9"], "9 atlases were asked for; the split train has 4 cases"),
        (["--atlases", "2", "--organs", "Heart"], "no organ 'Heart'"),
        (["--atlases", "2", "--seed", "-1"], "--seed is -1"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line_before_any_registration(
    arguments: list[str], words: str, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.seg.nrrd"
    scan = str(first_scan(dataset))
    assert main(["atlas", scan, "--dataset", str(dataset), "-o", str(out), *arguments]) == 2
    said = capsys.readouterr().err.strip()
    assert words in said
    assert "\n" not in said
    assert list(tmp_path.iterdir()) == []


def test_without_antspyx_the_command_says_how_to_install_it(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ants", None)
    scan = str(first_scan(dataset))
    command = ["atlas", scan, "--dataset", str(dataset), "-o", str(tmp_path / "o.seg.nrrd"), "--atlases", "2"]
    assert main(command) == 2
    assert 'pip install "focusnet[atlas]"' in capsys.readouterr().err


def first_scan(dataset: Path) -> Path:
    return sorted((dataset / "val").glob("*/ct.nrrd"))[0]


def shifted_scan(dataset: Path) -> tuple[Volume, np.ndarray]:
    """A validation case whose origin is elsewhere, as every scanner's is: registration has something to find."""
    source = open_dataset(dataset)
    case = source.case("val", source.patients("val")[0])
    moved = tuple(o + d for o, d in zip(case.geometry.origin_mm_xyz, (40.0, -25.0, 60.0), strict=True))
    geometry = Geometry(case.geometry.shape_zyx, case.geometry.spacing_mm_xyz, moved)
    return Volume(case.hu, geometry, "a shifted scan"), case.labels


@pytest.mark.slow
def test_registered_atlases_put_every_organ_on_its_side_however_the_scan_is_stored(dataset: Path) -> None:
    pytest.importorskip("ants", reason="needs antspyx (extra atlas)")
    volume, truth = shifted_scan(dataset)
    source = open_dataset(dataset)
    result = segment_by_atlases(volume, source, AtlasOptions(count=3, registration="affine"))
    for value, organ in enumerate(LABELS, start=1):
        assert dice(result.mask(organ), truth == value) > 0.75, organ
    axes, flips = (2, 0, 1), (True, False, True)
    other = reoriented(volume, axes, flips)
    again = segment_by_atlases(other, source, AtlasOptions(count=3, registration="affine"))
    back = np.flip(again.labels, [i for i, flip in enumerate(flips) if flip]).transpose(np.argsort(axes))
    assert np.array_equal(back, result.labels)
    assert result.provenance["model"] == "multi-atlas"
    assert len(result.provenance["atlases"]) == 3


@pytest.mark.slow
def test_an_atlas_that_is_the_scan_itself_does_not_vote(dataset: Path) -> None:
    pytest.importorskip("ants", reason="needs antspyx (extra atlas)")
    source = open_dataset(dataset)
    case = source.case("train", "pt_1")
    result = segment_by_atlases(
        Volume(case.hu, case.geometry, "pt_1"), source, AtlasOptions(count=4, registration="affine")
    )
    assert "pt_1" not in result.provenance["atlases"]
    assert any("is this scan itself" in note for note in result.provenance["notes"])
    assert any("3 atlases voted, 4 were asked for" in note for note in result.provenance["notes"])


@pytest.mark.slow
def test_the_command_registers_by_syn_and_writes_a_segmentation_and_a_report(dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("ants", reason="needs antspyx (extra atlas)")
    out, report = tmp_path / "out.seg.nrrd", tmp_path / "r.json"
    scan = first_scan(dataset)
    command = ["atlas", str(scan), "--dataset", str(dataset), "-o", str(out), "--report", str(report)]
    assert main([*command, "--atlases", "2", "--organs", "Brainstem,Parotid_L"]) == 0
    found = read_seg_nrrd(out)
    assert {r.organ.name for r in found.results} == {"Brainstem", "Parotid_L"}
    truth = sitk.GetArrayFromImage(sitk.ReadImage(str(scan.with_name("label.nrrd"))))
    assert dice(found.mask("Brainstem"), truth == LABELS["Brainstem"]) > 0.6
    assert '"multi-atlas"' in report.read_text()
