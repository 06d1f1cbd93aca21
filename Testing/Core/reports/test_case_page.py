"""One case as a page: the worst first, every flagged organ in three planes, nothing that leads outside, no text taken for code."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from focusnet.cli.main import main
from focusnet.errors import InputError, OutputError
from focusnet.io.seg_nrrd import write_seg_nrrd
from focusnet.reports.case_page import CaseReport, case_content, scan_id, write_case_page
from focusnet.reports.render import render
from focusnet.reports.slice_pictures import SIDE, organ_pictures, upright_case

from ..helpers_images import write_image
from ..helpers_outputs import GRIDS, scan_and_organs, segmentation, stored_as
from ..helpers_pages import ATTACK, Page, case, scores


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


def page(report: object) -> Page:
    return Page(render("case.html.j2", case_content(report)))  # type: ignore[arg-type]


def test_the_worst_come_first_and_each_flagged_or_edited_organ_has_three_pictures() -> None:
    content = case_content(case())
    assert [o["name"] for o in content["ranked"]][:2] == ["Parotid_R", "Parotid_L"]
    assert {o["name"] for o in content["ranked"] if len(o["panels"]) == 3} == {"Parotid_R", "Parotid_L", "Brainstem"}
    shown = page(case())
    assert len(shown.all("svg", "")) >= 3 * 4  # all organs, and three organs
    for image in shown.all("image"):
        data = base64.b64decode(image["href"].removeprefix("data:image/jpeg;base64,"), validate=True)
        assert Image.open(io.BytesIO(data)).size == (420, 420)
    assert "Larger than 99 of 100 of its kind." in shown.text


def test_contour_model_and_shape_prior_are_told_apart() -> None:
    panels = {o["name"]: o["panels"] for o in case_content(case())["ranked"]}
    kinds = {name: {o.kind for p in shown for o in p.outlines} for name, shown in panels.items()}
    assert {"contour", "model", "shape-prior", "neighbour"} >= kinds["Parotid_R"] >= {"contour", "model", "shape-prior"}
    assert "contour" not in kinds["Parotid_L"]  # it was deleted
    assert "model" in kinds["Parotid_L"]
    assert "shape-prior" not in kinds["Brainstem"]


def test_an_outline_lies_where_the_organ_does() -> None:
    """The right parotid's axial outline, measured on the page, against its voxels."""
    volume, organs = scan_and_organs()
    panel = organ_pictures(upright_case(volume, organs), "Parotid_R")[0]
    path = next(o.path for o in panel.outlines if o.kind == "contour")
    points = np.array([[float(v) for v in pair.split()] for pair in re.findall(r"[-\d.]+ [-\d.]+", path)])
    mm_per_unit = panel.bar_mm / panel.bar
    width_mm, depth_mm = (points.max(axis=0) - points.min(axis=0)) * mm_per_unit
    assert width_mm == pytest.approx(4 * 2.0, abs=0.2)  # x 5..8 and y 14..21 of 2 and 2.5 mm
    assert depth_mm == pytest.approx(8 * 2.5, abs=0.2)
    assert np.allclose(points.mean(axis=0), SIDE / 2, atol=3)  # the organ is in the middle


@pytest.mark.parametrize("grid", GRIDS)
def test_the_patients_right_is_on_the_left_however_the_scan_is_stored(grid: str) -> None:
    """The grids are upright, turned, flipped and oblique: the pictures show the same."""
    _geometry, _axes, _flips = GRIDS[grid]
    volume, organs = scan_and_organs(grid)
    panels = organ_pictures(upright_case(volume, organs), "Brainstem")
    upright_volume, upright = scan_and_organs()
    wanted = organ_pictures(upright_case(upright_volume, upright), "Brainstem")
    for found, expected in zip(panels, wanted, strict=True):
        assert [o.name for o in found.outlines] == [o.name for o in expected.outlines]
        assert found.letters == expected.letters
        if "oblique" not in grid:
            assert found.image == expected.image
            assert found.place == expected.place


def test_no_text_is_taken_for_code() -> None:
    volume, _frozen = scan_and_organs()
    base = case()
    known = dict.fromkeys(("model", "model_version", "device", "created"), ATTACK)
    attacked = replace(
        base,
        segmentation=replace(base.segmentation, provenance={**known, "notes": [ATTACK], "source": ATTACK}),
        qa=scores("Parotid_R", reason=ATTACK, name=ATTACK),
        title=ATTACK,
        notes=(ATTACK,),
        volume=replace(volume, notes=(ATTACK,)),
    )
    shown = page(attacked)
    assert [t for t, _ in shown.tags if t in ("script", "img", "iframe", "object", "embed")] == []
    assert not any(key.startswith("on") for _, attributes in shown.tags for key in attributes)
    assert shown.text.count('document.title="owned"') >= 5  # it is there to read, as text


def test_nothing_leads_outside_and_no_path_or_patient_is_shown() -> None:
    html = render("case.html.j2", case_content(case()))
    for _, attributes in Page(html).tags:
        for key in ("href", "src", "xlink:href", "action"):
            assert attributes.get(key, "#").startswith(("#", "data:")), attributes
    assert not re.search(r"url\(|@import|https?://", html)
    assert "scans" not in html  # of the source's path


def test_the_scans_number_is_of_its_voxels() -> None:
    volume, _ = scan_and_organs()
    changed = volume.array.copy()
    changed[3, 3, 3] += 1
    assert scan_id(volume) == scan_id(replace(volume, source="renamed", notes=("read again",)))
    assert scan_id(volume) != scan_id(replace(volume, array=changed))


def test_scores_and_copies_of_another_model_are_named() -> None:
    own = case()
    assert not [w for w in case_content(own)["warnings"] if "score" in w.lower()]
    other = case(qa=scores("Parotid_R", version="2.0", sha256="cd" * 32))
    assert any("Scored for contours of han7-test 2.0 (cdcdcdcd)" in w for w in case_content(other)["warnings"])
    assert own.model_copy is not None
    renamed = replace(own.model_copy, provenance={**own.model_copy.provenance, "bundle_sha256": "ee" * 32})
    assert any("not edits alone" in w for w in case_content(case(model_copy=renamed))["warnings"])


def test_an_organ_without_a_voxel_is_shown_where_its_heat_map_peaks() -> None:
    _volume, organs = scan_and_organs()
    missing = replace(organs.results[4], peak=0.4, peak_mm_xyz=(-10.0, 50.0, -250.0), volume_ml=0.0)
    organs = replace(organs, results=(*organs.results[:4], missing))
    content = case_content(case(segmentation=organs, qa=None, model_copy=None, shape_prior=None, audit=None))
    larynx = content["ranked"][0]
    assert larynx["name"] == "Larynx"  # it has the only remark
    assert [p.mark is not None for p in larynx["panels"]] == [True] * 3
    assert "not found" in page(case(segmentation=organs, qa=None, model_copy=None, shape_prior=None, audit=None)).text


def test_nothing_flagged_no_organ_at_all_and_an_organ_at_the_scans_edge_make_a_page() -> None:
    _volume, organs = scan_and_organs()
    plain = replace(organs, results=tuple(replace(r, warnings=()) for r in organs.results))
    nothing = {"qa": None, "model_copy": None, "shape_prior": None, "audit": None}
    assert "No organ is flagged" in page(case(segmentation=plain, **nothing)).text
    page(case(segmentation=replace(plain, labels=np.zeros_like(organs.labels)), **nothing))
    corner = np.zeros_like(organs.labels)
    corner[0, 0, 0] = 1  # one voxel, in the corner of the image
    corner[-1, -4:, -4:] = 2
    shown = case_content(case(segmentation=replace(plain, labels=corner), **{**nothing, "qa": scores("Brainstem")}))
    assert all(any(o.kind == "contour" for o in p.outlines) for p in shown["ranked"][0]["panels"])


def test_another_grid_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    volume, _organs = scan_and_organs()
    moved = replace(volume, geometry=replace(volume.geometry, origin_mm_xyz=(0.0, 0.0, 0.7)))
    with pytest.raises(InputError, match="different grids"):
        write_case_page(case(volume=moved), tmp_path / "p.html")
    with pytest.raises(OutputError, match=r"\.html or \.htm is expected"):
        write_case_page(case(), tmp_path / "p.pdf")
    assert list(tmp_path.iterdir()) == []


def as_large_as_a_head(report: CaseReport) -> CaseReport:
    """The small case on larger voxels: files of scans are refused where no head fits in."""
    geometry = replace(report.volume.geometry, spacing_mm_xyz=(3.25, 3.5, 4.0))
    parts = [report.volume, report.segmentation, report.model_copy, report.shape_prior]
    volume, now, then, shape_prior = (replace(part, geometry=geometry) for part in parts if part is not None)
    noise = np.arange(volume.array.size, dtype=np.int16).reshape(volume.array.shape) % 37  # a CT of few values is no CT
    volume = replace(volume, array=volume.array + noise)
    return replace(report, volume=volume, segmentation=now, model_copy=then, shape_prior=shape_prior)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    report = as_large_as_a_head(case())
    monkeypatch.chdir(tmp_path)
    write_image(report.volume, tmp_path / "ct.nrrd")
    assert report.model_copy is not None
    assert report.shape_prior is not None
    for name, part in (
        ("edited", report.segmentation),
        ("model", report.model_copy),
        ("shape-prior", report.shape_prior),
    ):
        write_seg_nrrd(part, tmp_path / f"{name}.seg.nrrd")
    (tmp_path / "qa.json").write_text(json.dumps(scores("Parotid_R")), encoding="utf-8")
    return tmp_path


def test_the_command_makes_the_page_of_files(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [
        "--ct",
        "ct.nrrd",
        "--qa",
        "qa.json",
        "--model-copy",
        "model.seg.nrrd",
        "--ghost",
        "shape-prior.seg.nrrd",
    ]
    assert run("report", "edited.seg.nrrd", *options, "-o", "case.html", "--title", "Case 7") == 0
    shown = Page((files / "case.html").read_text(encoding="utf-8"))
    assert "Case 7" in shown.text
    assert shown.all("g", "shape-prior")
    assert shown.all("g", "model")
    assert "Wrote case.html" in capsys.readouterr().out


def test_without_scores_they_are_made(files: Path) -> None:
    """A parotid that lies in two parts, 20 mm from each other, is looked at first, and the page says why."""
    volume = as_large_as_a_head(case()).volume
    labels = case().segmentation.labels.copy()
    labels[24:27, 8:12, 5:9] = 3
    broken = replace(case().segmentation, labels=labels, geometry=volume.geometry)
    write_seg_nrrd(broken, files / "broken.seg.nrrd")
    assert run("report", "broken.seg.nrrd", "--ct", "ct.nrrd", "-o", "case.html") == 0
    text = Page((files / "case.html").read_text(encoding="utf-8")).text
    assert "2 separate parts" in text
    assert "hints where to look" in text


def test_a_scan_stored_the_other_way_round_fits_its_segmentation(files: Path) -> None:
    volume = as_large_as_a_head(case()).volume
    array, geometry = stored_as(volume.array, volume.geometry, (0, 1, 2), (True, False, True))
    write_image(replace(volume, array=array, geometry=geometry), files / "flipped.nrrd")
    assert run("report", "edited.seg.nrrd", "--ct", "flipped.nrrd", "-o", "case.html") == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["edited.seg.nrrd"], "give it with --ct"),
        (["edited.seg.nrrd", "--ct", "none.nrrd"], "none.nrrd does not exist"),
        (["none.seg.nrrd", "--ct", "ct.nrrd"], "none.seg.nrrd does not exist"),
        (["edited.seg.nrrd", "--ct", "small.nrrd"], "another grid than"),
        (["edited.seg.nrrd", "--ct", "ct.nrrd", "--qa", "broken.json"], "cannot be read as JSON"),
        (["edited.seg.nrrd", "--ct", "ct.nrrd", "--qa", "list.json"], "holds no scores"),
        ([".", "--ct", "ct.nrrd"], "belongs to the page of one case"),
        (["empty"], "holds no report"),
    ],
)
def test_bad_input_is_one_line_and_no_page(
    files: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = as_large_as_a_head(case()).volume
    coarse = replace(volume, geometry=replace(volume.geometry, spacing_mm_xyz=(3.5, 3.5, 4.0)))
    write_image(coarse, files / "small.nrrd")
    (files / "broken.json").write_text("{")
    (files / "list.json").write_text("[1]")
    (files / "empty").mkdir()
    assert run("report", *arguments, "-o", "case.html") == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (files / "case.html").exists()


def test_segment_writes_the_page_by_its_ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small random network stands in for a trained one: what is tested is the page of its result."""
    from ..helpers_engine import head, random_bundle, small_config

    random_bundle(tmp_path / "models", small_config(has_sos=True))
    monkeypatch.setenv("FOCUSNET_MODELS", str(tmp_path / "models"))
    scan = write_image(head((36, 40, 40), (5.0, 5.0, 5.0)), tmp_path / "scan.nrrd")
    out = ["-o", tmp_path / "o.seg.nrrd", "--model", "random", "--report", tmp_path / "case.html"]
    assert run("segment", scan, *out) == 0
    shown = Page((tmp_path / "case.html").read_text(encoding="utf-8"))
    assert "random" in shown.text
    assert str(tmp_path) not in shown.text


def test_a_segmentation_of_no_model_says_so() -> None:
    _volume, organs = scan_and_organs()
    by_hand = replace(segmentation(organs.labels, organs.geometry), provenance={})
    text = page(case(segmentation=by_hand, qa=None, model_copy=None, shape_prior=None, audit=None)).text
    assert "The segmentation names no model" in text
