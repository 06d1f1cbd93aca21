"""Panel on stand-ins: the shape prior in the review. Not "tested in Slicer": see stand_ins.py."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ..helpers_panel_review import ORGANS, SCORED, choose, paint, states


def add_shape_prior(panel: Any, organ: str, folder: Path) -> None:
    """A shape prior that is the organ without its outermost voxels to the left."""
    from focusnet.io.seg_nrrd import write_seg_nrrd
    from FocusNetSegmentationLib.review.shape_prior import add_shape_priors
    from FocusNetSegmentationLib.scene.as_segmentation import segmentation_on
    from FocusNetSegmentationLib.scene.volumes import world_geometry

    result, _ = segmentation_on(world_geometry(panel.parameters.inputVolume), panel.parameters.resultSegmentation)
    kept = next(r for r in result.results if r.organ.name == organ)
    labels = np.where(result.labels == kept.label, kept.label, 0).astype(np.uint8)
    columns = np.flatnonzero((labels > 0).any(axis=(0, 1)))
    labels[:, :, columns[-3:]] = 0
    write_seg_nrrd(replace(result, labels=labels, results=(kept,)), folder / "shape-priors.seg.nrrd", overwrite=True)
    add_shape_priors(panel.scene, panel.parameters.resultSegmentation, folder / "shape-priors.seg.nrrd")
    (folder / "shape-priors.seg.nrrd").unlink()


def test_shape_buttons_say_why_they_cannot_be_pressed(reviewed: Any) -> None:
    assert reviewed.ui.shapePriorButton.toolTip == "Choose an organ in the list first."
    choose(reviewed, "Larynx")
    for name in ("shapePriorButton", "distanceButton", "useShapeButton", "useShapeHereButton"):
        assert getattr(reviewed.ui, name).toolTip == "There is no shape prior of this organ."
        assert not getattr(reviewed.ui, name).enabled


def test_shape_prior_and_distances_follow_the_organ_and_go_when_the_review_ends(reviewed: Any, tmp_path: Path) -> None:
    from FocusNetSegmentationLib.review.shape_prior import shape_prior_node
    from FocusNetSegmentationLib.review.shape_prior_distance import distance_node

    add_shape_prior(reviewed, "Larynx", tmp_path)
    choose(reviewed, "Larynx")
    reviewed.ui.shapePriorButton.click()
    reviewed.ui.distanceButton.click()
    node = reviewed.parameters.resultSegmentation
    shape_prior, model = shape_prior_node(node).GetDisplayNode(), distance_node(node).GetDisplayNode()
    assert shape_prior.GetVisibility()
    assert model.GetVisibility()
    choose(reviewed, "Parotid_L")
    assert not shape_prior.GetVisibility(), "there is none of this organ"
    assert not model.GetVisibility()
    choose(reviewed, "Larynx")
    assert shape_prior.GetVisibility()
    reviewed.ui.reviewEndButton.click()
    assert not shape_prior.GetVisibility()
    assert not model.GetVisibility()
    assert "not truth" in shape_prior_node(node).GetName()


def test_the_shape_is_taken_over_and_undone_in_the_editor(reviewed: Any, tmp_path: Path) -> None:
    add_shape_prior(reviewed, "Larynx", tmp_path)
    choose(reviewed, "Larynx")
    before = reviewed.panel.review.review.current_fingerprints()["Larynx"]
    reviewed.ui.useShapeButton.click()
    reviewed.settle()
    assert "took the shape prior's shape. It is not truth" in reviewed.text("reviewStatusLabel")
    assert states(reviewed)["Larynx"] == "edited"
    reviewed.panel.result.editor.undo()
    reviewed.until(lambda: states(reviewed)["Larynx"] == "draft")
    assert reviewed.panel.review.review.current_fingerprints()["Larynx"].same_as(before)


def test_the_brush_is_around_the_crosshair(reviewed: Any, tmp_path: Path) -> None:
    add_shape_prior(reviewed, "Larynx", tmp_path)
    choose(reviewed, "Larynx")
    reviewed.ui.useShapeHereButton.click()
    assert "no crosshair" in reviewed.text("reviewStatusLabel")
    crosshair = reviewed.scene.AddNewNodeByClass("vtkMRMLCrosshairNode")
    crosshair.SetCrosshairRAS(500.0, 500.0, 500.0)
    reviewed.ui.useShapeHereButton.click()
    assert "Nothing to change here." in reviewed.text("reviewStatusLabel")
    assert states(reviewed)["Larynx"] == "draft"


def test_shape_priors_that_come_with_the_scores_are_there_to_be_shown(reviewed: Any, tmp_path: Path) -> None:
    """A stand-in for ``focusnet qa --shape-priors``, which needs torch: it refuses once, as for organs without a prior, then hands over a file."""
    import sys

    from focusnet.io.seg_nrrd import write_seg_nrrd
    from FocusNetSegmentationLib.review import scoring as review_scoring
    from FocusNetSegmentationLib.review.shape_prior import is_outdated, shape_priors_of
    from FocusNetSegmentationLib.scene.as_segmentation import segmentation_on
    from FocusNetSegmentationLib.scene.volumes import world_geometry

    node = reviewed.parameters.resultSegmentation
    result, _ = segmentation_on(world_geometry(reviewed.parameters.inputVolume), node)
    write_seg_nrrd(result, tmp_path / "made.seg.nrrd")
    (tmp_path / "made.json").write_text(json.dumps(SCORED))
    asked: list[tuple[str, ...]] = []

    def stand_in(*arguments: str) -> tuple[str, list[str], dict[str, str]]:
        asked.append(arguments)
        out = arguments[arguments.index("-o") + 1]
        copies = [("made.json", out)]
        if "--shape-priors" in arguments:
            copies.append(("made.seg.nrrd", arguments[arguments.index("--shape-priors") + 1]))
        lines = [f"shutil.copy({str(tmp_path / a)!r}, {b!r})" for a, b in copies]
        warning = {"event": "warning", "message": "The model is another version than the one that made this."}
        lines.append(f"import sys; print({json.dumps(warning)!r}, file=sys.stderr)")
        refuse = "--shape-priors" in arguments and len(asked) == 1
        return sys.executable, ["-c", "raise SystemExit(2)" if refuse else "import shutil; " + "; ".join(lines)], {}

    working, review_scoring.focusnet_arguments = review_scoring.focusnet_arguments, stand_in
    section = reviewed.panel.review
    found = review_scoring.may_have_shape_priors
    review_scoring.may_have_shape_priors = lambda segmentation: True
    try:
        section.score()
        reviewed.until(lambda: not section.scoring.is_running, 60)
        assert ["--shape-priors" in a for a in asked] == [True, False], "the scores are wanted all the same"
        assert "2 organs to look at first" in reviewed.text("reviewStatusLabel")
        assert "another version than the one that made this" in reviewed.text("reviewStatusLabel")
        assert shape_priors_of(node) == {}
        section.score()
        paint(reviewed, "Larynx")
        reviewed.until(lambda: not section.scoring.is_running, 60)
    finally:
        review_scoring.focusnet_arguments, review_scoring.may_have_shape_priors = working, found
    assert set(shape_priors_of(node)) == set(ORGANS)
    assert is_outdated(node, "Larynx"), "it was changed while the scores were made"
    assert not is_outdated(node, "Brainstem")
    choose(reviewed, "Brainstem")
    assert reviewed.ui.shapePriorButton.enabled


@pytest.mark.slow
def test_the_shape_model_that_ships_makes_shape_priors_that_can_be_shown_and_measured(open_panel: Any) -> None:
    """The phantom's own organs, the real worker, the real autoencoder."""
    from focusnet.qa.shape_model import DEFAULT

    from ...Core.helpers_qa import phantom_case
    from ..helpers_worker import worker_python
    from ..stand_ins import MODULE

    if not (MODULE / "Resources" / "Models" / DEFAULT / "bundle.json").is_file():
        pytest.skip(f"the shape model {DEFAULT} does not ship")
    panel = open_panel(python=worker_python())
    from FocusNetSegmentationLib.review.shape_prior import shape_prior_node, shape_priors_of
    from FocusNetSegmentationLib.review.shape_prior_distance import ARRAY, distance_node
    from FocusNetSegmentationLib.sample_data import add_volume
    from FocusNetSegmentationLib.scene.nodes import import_result

    volume, reference = phantom_case()
    panel.parameters.inputVolume = add_volume(panel.scene, volume.array, volume.geometry.affine_xyz, "Phantom")
    node = panel.parameters.resultSegmentation = import_result(
        panel.scene, reference, panel.parameters.inputVolume
    ).node
    panel.settle()
    panel.ui.reviewCollapsibleButton.collapsed = False
    panel.until(lambda: not panel.panel.review.scoring.is_running, 120)
    assert "OpticNrv_L" in shape_priors_of(node), panel.text("reviewStatusLabel")
    choose(panel, "OpticNrv_L")
    panel.ui.shapePriorButton.click()
    panel.ui.distanceButton.click()
    assert shape_prior_node(node).GetDisplayNode().GetVisibility()
    low, high = distance_node(node).GetPolyData().GetPointData().GetArray(ARRAY).GetRange()
    assert -30 < low < high < 30
    panel.ui.useShapeButton.click()
    panel.until(lambda: states(panel)["OpticNrv_L"] == "edited")


def test_a_neighbour_that_takes_over_what_the_shape_gives_up_is_named(reviewed: Any, tmp_path: Path) -> None:
    from FocusNetSegmentationLib.scene.labelmaps import LABELMAP, voxels

    review = reviewed.panel.review.review
    organ, neighbour = (review.node.GetSegmentation().GetSegment(review.segments()[n]) for n in ("Parotid_L", "Larynx"))
    image = organ.GetRepresentation(LABELMAP)
    labels = voxels(image)
    mask = labels == organ.GetLabelValue()
    beside = (np.roll(mask, 1, axis=2) | np.roll(mask, -1, axis=2)) & (labels == 0)
    labels[beside] = neighbour.GetLabelValue()  # the two touch now
    image.Modified()
    reviewed.settle()
    add_shape_prior(reviewed, "Parotid_L", tmp_path)
    choose(reviewed, "Parotid_L")
    before = review.current_fingerprints()["Larynx"].voxels
    reviewed.ui.useShapeButton.click()
    reviewed.settle()
    assert "Larynx went there." in reviewed.text("reviewStatusLabel")
    assert review.current_fingerprints()["Larynx"].voxels > before
