"""Scores come organ by organ and from boxes around the organs; neither changes what is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from focusnet.cli.main import main
from focusnet.image.label_boxes import label_boxes, label_counts, labelled_box
from focusnet.io.seg_nrrd import read_seg_nrrd, write_seg_nrrd
from focusnet.io.seg_nrrd_steps import SegNrrdReader
from focusnet.nets.shape_box import ShapeBox, paste, paste_part
from focusnet.progress import Progress
from focusnet.qa.ranking import OrganScored, rank_organs

from ..helpers_qa import phantom_case


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16])
def test_boxes_and_counts_are_those_of_a_look_at_every_voxel(kind: type) -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros((20, 30, 25), kind)
    for label in (1, 2, 5, 9):
        z, y, x = rng.integers(0, 15, 3)
        labels[z : z + 4, y : y + 6, x : x + 5] = label
    flipped = labels[::-1, :, ::-1]
    for array in (labels, flipped, labels.transpose(2, 0, 1)):
        assert label_boxes(array) == ndimage.find_objects(array)
        outer = labelled_box(array)
        assert outer is not None
        assert not (array != 0).sum() - (array[outer] != 0).sum()
    counts = label_counts(flipped.astype(np.uint8))
    assert counts.tolist() == np.bincount(labels.ravel(), minlength=256).tolist()


def test_an_empty_label_map_has_no_boxes() -> None:
    nothing = np.zeros((3, 4, 5), np.uint8)
    assert label_boxes(nothing) == []
    assert labelled_box(nothing) is None
    assert label_counts(nothing)[0] == 60
    assert labelled_box(np.zeros((0, 4, 5), np.uint8)) is None


def test_every_organ_is_told_once_as_it_is_in_the_end() -> None:
    volume, reference = phantom_case()
    told: list[Progress] = []
    result = rank_organs(reference, volume, progress=told.append)
    organs = [p.organ for p in told if isinstance(p, OrganScored)]
    assert all(organs)
    final = {o.organ.name: o for o in result.organs}
    assert {o.organ.name: replace(o, rank=0) for o in organs if o} == {n: replace(o, rank=0) for n, o in final.items()}
    assert [type(p) for p in told].index(OrganScored) < len(told) - 2, "while the others are still worked on"


def test_the_command_prints_each_organ_as_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, reference = phantom_case()
    write_seg_nrrd(reference, tmp_path / "organs.seg.nrrd")
    assert main(["qa", str(tmp_path / "organs.seg.nrrd"), "-o", str(tmp_path / "r.json"), "--json-progress"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    organs = {line["organ"]: line for line in lines if line["event"] == "organ"}
    file = json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert set(organs) == {entry["organ"] for entry in file["organs"]}
    for entry in file["organs"]:
        assert {**organs[entry["organ"]], "rank": 0} == {**entry, "rank": 0, "event": "organ"}
    small = [line.get("message") for line in lines if line.get("step") == "Comparing shapes"]
    first_small = next((i for i, line in enumerate(lines) if line.get("step") == "Comparing shapes"), len(lines))
    large = [i for i, line in enumerate(lines) if line["event"] == "organ" and line["organ"] not in small]
    assert max(large) < first_small, "organs that wait for PyTorch come last"


def test_a_shape_is_reconstructed_once_for_its_scores_and_its_prior() -> None:
    pytest.importorskip("torch")
    from focusnet.qa.shape_model import load_shape_model
    from focusnet.qa.shape_prior import shape_priors

    _, reference = phantom_case()
    prior = load_shape_model("shapes-tcia-oars")  # large organs have no scores, their priors are made when asked for
    count, real = [0], prior.reconstruct_box

    def counted(mask: np.ndarray, box: ShapeBox) -> object:
        count[0] += 1
        return real(mask, box)

    prior.reconstruct_box = counted  # type: ignore[method-assign,assignment]
    rank_organs(reference, shape_model=prior)
    scored = count[0]
    assert scored > 0
    shape_priors(reference, prior)
    assert count[0] == scored


def test_a_prior_in_its_box_is_the_prior_on_the_whole_scan() -> None:
    _, reference = phantom_case()
    box = ShapeBox((0.0, 20.0, 10.0), False, (12, 12, 12), (2.0, 2.0, 2.0))
    probability = np.random.default_rng(1).random((12, 12, 12)).astype(np.float32)
    whole = paste(probability, box, reference.geometry)
    place, part = paste_part(probability, box, reference.geometry)
    assert whole.any()
    assert np.array_equal(whole[place], part)
    assert whole.sum() == part.sum()
    outside = ShapeBox((1e4, 0.0, 0.0), False, (12, 12, 12), (2.0, 2.0, 2.0))
    assert not paste_part(probability, outside, reference.geometry)[1].size


def test_a_file_of_the_box_alone_reads_as_the_whole(tmp_path: Path) -> None:
    _, reference = phantom_case()
    write_seg_nrrd(reference, tmp_path / "whole.seg.nrrd")
    write_seg_nrrd(reference, tmp_path / "box.seg.nrrd", crop=True)
    whole, box = (read_seg_nrrd(tmp_path / f"{name}.seg.nrrd") for name in ("whole", "box"))
    assert (tmp_path / "box.seg.nrrd").stat().st_size < (tmp_path / "whole.seg.nrrd").stat().st_size
    assert np.array_equal(whole.labels, box.labels)
    assert whole.geometry.same_grid_as(box.geometry)
    assert whole.results == box.results


def in_steps(path: Path, organs: list[str] | None = None, remove: bool = False) -> tuple[object, int]:
    reader = SegNrrdReader(path, organs)
    if remove:
        path.unlink()
    steps, count = reader.steps(), 0
    while True:
        try:
            next(steps)
            count += 1
        except StopIteration as ended:
            return ended.value, count


def test_reading_in_steps_gives_the_same_even_when_the_file_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from focusnet.io import seg_nrrd_steps

    monkeypatch.setattr(seg_nrrd_steps, "STEP_BYTES", 1 << 17)
    _, reference = phantom_case()
    for crop, organs in ((False, None), (True, None), (False, ["Parotid_L"])):
        path = tmp_path / "organs.seg.nrrd"
        write_seg_nrrd(reference, path, overwrite=True, crop=crop)
        wanted = read_seg_nrrd(path, organs)
        found, count = in_steps(path, organs, remove=True)
        assert count >= 3
        assert np.array_equal(found.labels, wanted.labels)  # type: ignore[attr-defined]
        assert found.results == wanted.results  # type: ignore[attr-defined]
        assert found.provenance == wanted.provenance  # type: ignore[attr-defined]


def test_a_damaged_file_is_refused_in_steps_too(tmp_path: Path) -> None:
    from focusnet.errors import InputError

    _, reference = phantom_case()
    path = tmp_path / "organs.seg.nrrd"
    write_seg_nrrd(reference, path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match="damaged"):
        in_steps(path)
    path.write_text("this is no segmentation")
    with pytest.raises(InputError):
        in_steps(path)
