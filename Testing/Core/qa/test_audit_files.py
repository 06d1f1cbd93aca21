"""``focusnet evaluate --audit``: the model's copy beside the edited file, checked against MONAI and ITK."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from focusnet.cli.main import main
from focusnet.image.segmentation import Segmentation
from focusnet.io.review_tags import fingerprint
from focusnet.io.seg_nrrd import write_seg_nrrd

from ..cli.test_export_command import approval, reviewed
from ..helpers_outputs import scan_and_organs


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


def ragged(frozen: Segmentation, seed: int = 4) -> Segmentation:
    """The organs with voxels added and removed at random near their borders, as brushes do; the cord untouched."""
    generator = np.random.default_rng(seed)
    labels = frozen.labels.copy()
    for label in (1, 3, 4):
        mask = frozen.labels == label
        image = sitk.GetImageFromArray(mask.astype(np.uint8))
        grown = sitk.GetArrayFromImage(sitk.BinaryDilate(image, (1, 2, 1))) > 0
        core = sitk.GetArrayFromImage(sitk.BinaryErode(image, (1, 1, 1))) > 0
        noise = generator.random(mask.shape) < 0.4
        labels[(grown & ~mask) & noise & (labels == 0)] = label
        labels[(mask & ~core) & (generator.random(mask.shape) < 0.3)] = 0
    return replace(frozen, labels=labels)


def drawn(frozen: Segmentation, organ: str) -> dict[str, str]:
    """The panel's note of what the model drew."""
    return {"FocusNet.Review": json.dumps({"state": "draft", "drawn": fingerprint(frozen.mask(organ), frozen)})}


def files(folder: Path) -> tuple[Path, Path, Segmentation, Segmentation]:
    _, frozen = scan_and_organs()
    edited = ragged(frozen)
    write_seg_nrrd(frozen, folder / "model.seg.nrrd")
    tags = {
        "Brainstem": {**approval(edited, "Brainstem", "Dr. Müller"), "FocusNet.ActiveSeconds": "61.5"},
        "Parotid_R": {"FocusNet.ActiveSeconds": "12.0", **drawn(frozen, "Parotid_R")},
    }
    reviewed(edited, folder / "edited.seg.nrrd", tags)
    return folder / "model.seg.nrrd", folder / "edited.seg.nrrd", frozen, edited


def test_every_number_is_what_other_programs_find(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """DSC by ITK; HD95 and surface DSC by MONAI; added path length by ITK's contour filter, slice by slice."""
    torch = pytest.importorskip("torch")
    from monai.metrics import compute_hausdorff_distance, compute_surface_dice

    model, changed, frozen, edited = files(tmp_path)
    assert run("evaluate", model, changed, "--audit", "-o", tmp_path / "a.json", "--tolerance-mm", 3) == 0
    table = capsys.readouterr().out
    rows = {o["organ"]: o for o in json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["organs"]}
    spacing = frozen.geometry.spacing_mm_zyx
    for name in ("Brainstem", "Parotid_R", "Parotid_L"):
        before, after = (s.mask(name).astype(np.uint8) for s in (frozen, edited))
        overlap = sitk.LabelOverlapMeasuresImageFilter()
        overlap.Execute(sitk.GetImageFromArray(before), sitk.GetImageFromArray(after))
        pair = [torch.from_numpy(m)[None, None].float() for m in (before, after)]
        directed = [
            float(
                compute_hausdorff_distance(a, b, percentile=95, directed=True, spacing=spacing, include_background=True)
            )
            for a, b in (pair, pair[::-1])
        ]
        two_classes = [torch.cat([1 - p, p], dim=1) for p in pair]
        surface = float(compute_surface_dice(*two_classes, class_thresholds=[3.0], spacing=spacing))
        added = 0
        for old, new in zip(before, after, strict=True):
            old, new = (np.pad(m, 1) for m in (old, new))
            outlines = [sitk.GetArrayFromImage(sitk.LabelContour(sitk.GetImageFromArray(m))) > 0 for m in (old, new)]
            added += int((outlines[1] & ~outlines[0]).sum())
        row = rows[name]
        assert row["dsc"] == pytest.approx(overlap.GetDiceCoefficient()), name
        assert row["hd95_mm"] == pytest.approx(np.mean(directed), abs=1e-3), name
        assert row["surface_dsc"] == pytest.approx(surface, abs=1e-4), name
        assert row["added_path_mm"] == pytest.approx(added * (spacing[1] + spacing[2]) / 2), name
        assert row["voxels_added"] - row["voxels_removed"] == int(after.sum()) - int(before.sum()), name
        assert f"{row['dsc']:.3f}" in table
    assert not rows["SpinalCord"]["changed"]


def test_seconds_states_and_the_editor_come_from_the_review(tmp_path: Path) -> None:
    model, changed, *_ = files(tmp_path)
    assert run("evaluate", model, changed, "--audit", "-o", tmp_path / "a.json") == 0
    content = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    organs = {o["organ"]: o for o in content["organs"]}
    assert content["editor"] == "Dr. Müller"
    assert (organs["Brainstem"]["active_s"], organs["Brainstem"]["state"]) == (61.5, "approved")
    assert (organs["Parotid_R"]["active_s"], organs["Parotid_R"]["state"]) == (12.0, "edited")
    assert (organs["SpinalCord"]["active_s"], organs["SpinalCord"]["state"]) == (None, "draft")


def test_folders_give_one_table_of_all_cases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, changed, *_ = files(tmp_path)
    for name, source in (("before", model), ("after", changed)):
        (tmp_path / name).mkdir()
        for case in ("one", "two"):
            (tmp_path / name / f"{case}.seg.nrrd").write_bytes(source.read_bytes())
    arguments = ["evaluate", tmp_path / "before", tmp_path / "after", "--audit", "--editor", "AB"]
    assert run(*arguments, "-o", tmp_path / "a.csv") == 0
    rows = list(csv.DictReader((tmp_path / "a.csv").open(encoding="utf-8")))
    assert {row["case"] for row in rows} == {"one", "two"}
    assert {row["editor"] for row in rows} == {"AB"}
    assert run(*arguments, "-o", tmp_path / "a.json") == 0
    assert len(json.loads((tmp_path / "a.json").read_text())["cases"]) == 2
    assert "one\norgan" in capsys.readouterr().out


def test_swapped_files_and_another_model_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, frozen = scan_and_organs()
    for name, known in (
        ("model", {}),
        ("no-model", {"model": ""}),
        ("newer", {"model_version": "2.0", "bundle_sha256": "cd" * 32}),
    ):
        write_seg_nrrd(replace(frozen, provenance={**frozen.provenance, **known}), tmp_path / f"{name}.seg.nrrd")
    assert run("evaluate", tmp_path / "model.seg.nrrd", tmp_path / "newer.seg.nrrd", "--audit") == 0
    assert "of model han7-test 1.2, the edited file of han7-test 2.0" in capsys.readouterr().err
    assert run("evaluate", tmp_path / "no-model.seg.nrrd", tmp_path / "model.seg.nrrd", "--audit") == 0
    assert "the model's copy comes first" in capsys.readouterr().err
    assert run("evaluate", tmp_path / "model.seg.nrrd", tmp_path / "no-model.seg.nrrd", "--audit") == 0
    assert capsys.readouterr().err == ""


def test_options_that_do_not_fit_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, changed, *_ = files(tmp_path)
    for options, words in (
        (["--audit", "--organs", "Brainstem"], "looks at every organ"),
        (["--editor", "AB"], "goes with --audit"),
        (["--audit", "-o", tmp_path / "a.txt"], ".json or .csv is expected"),
        (["--audit", "--tolerance-mm", "0"], "above 0"),
    ):
        assert run("evaluate", model, changed, *options) == 2
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1
