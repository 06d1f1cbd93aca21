"""Panel on stand-ins: what is where. Zero clicks from Apply to the worst organ, one list, a fixed width, a bar that stays. Not "tested in
Slicer": see stand_ins.py."""

from __future__ import annotations

from typing import Any

import pytest

from ..helpers_panel_review import ORGANS, choose, show_planted_errors, table

SMALL_VIEWPORT = 386  # what Slicer leaves for a module at 1280x720


@pytest.fixture
def layout(panel: Any) -> Any:
    """A panel with three slice views."""
    from ..stand_ins_widgets import LayoutManager

    panel.leave()
    panel.stand_ins.app.layout_manager = LayoutManager()
    panel.enter()
    return panel


def bottom(panel: Any, name: str) -> int:
    """The lower edge of a widget in the panel's visible part, in pixels."""
    from PySide6 import QtCore

    widget = getattr(panel.ui, name)._target
    assert widget.isVisible(), name
    return int(widget.mapTo(panel.host.area, QtCore.QPoint(0, widget.height())).y())


def test_apply_leads_to_the_worst_organ_without_a_click(panel: Any) -> None:
    panel.volume()
    panel.apply(scored=True)
    assert panel.ui.inputsCollapsibleButton.collapsed
    assert panel.ui.outputsCollapsibleButton.collapsed
    assert not panel.ui.reviewCollapsibleButton.collapsed
    rows = panel.panel.review.table.rows
    assert [row for row in rows if row.score is not None], "scored without a click"
    assert panel.panel.review.current == rows[0].organ
    assert panel.panel.result.editor.currentSegmentID() == rows[0].segment_id
    panel.ui.inputsCollapsibleButton.collapsed = False  # one click brings them back
    assert panel.shown("inputVolumeSelector")


def test_an_organ_that_a_person_has_chosen_stays_when_the_scores_come(panel: Any) -> None:
    panel.volume()
    panel.ui.applyButton.click()
    panel.until(lambda: not panel.panel.runs.is_running)
    choose(panel, "SpinalCord")
    panel.until(lambda: not panel.panel.review.scoring.is_running, 120)
    assert panel.panel.review.current == "SpinalCord"


def test_a_second_apply_is_scored_without_a_click_too(reviewed: Any) -> None:
    for organ in ORGANS:
        reviewed.tick(organ, organ == "Larynx")
    reviewed.apply(scored=True)
    assert all(
        row.score is not None or "Not scored yet." not in row.reasons for row in reviewed.panel.review.table.rows
    )


def test_a_run_that_ends_while_another_module_is_open_leaves_the_views_alone(panel: Any) -> None:
    composite = panel.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    panel.volume()
    panel.worker("wait a little")
    panel.ui.applyButton.click()
    panel.leave()
    other = panel.volume("of another module")
    composite.SetBackgroundVolumeID(other.GetID())
    panel.until(lambda: not panel.panel.runs.is_running)
    panel.settle()
    assert composite.GetBackgroundVolumeID() == other.GetID()
    assert panel.panel.review.current is None
    panel.enter()
    assert not panel.ui.reviewCollapsibleButton.collapsed, "and opens when the module is opened again"


def test_apply_neither_moves_the_focus_nor_scrolls_the_panel(panel: Any) -> None:
    panel.volume()
    panel.show(height=SMALL_VIEWPORT)
    panel.worker("wait")
    panel.host.area.activateWindow()
    bar = panel.ui.panelScrollArea._target.verticalScrollBar()
    bar.setValue(40)
    apply = panel.ui.applyButton._target
    apply.setFocus()
    window = panel.host.area.window()
    assert window.focusWidget() is apply
    panel.ui.applyButton.click()
    panel.until(lambda: "Segmenting" in panel.says)
    assert window.focusWidget() is apply
    assert bar.value() == 40
    panel.ui.cancelButton.click()
    panel.settle()
    assert window.focusWidget() is apply
    assert bar.value() == 40


def test_cancel_hands_the_focus_to_apply_when_the_run_ends(panel: Any) -> None:
    panel.volume()
    panel.show(height=SMALL_VIEWPORT)
    panel.worker("wait")
    panel.ui.applyButton.click()
    panel.until(lambda: "Segmenting" in panel.says)
    panel.ui.cancelButton._target.setFocus()
    panel.ui.cancelButton.click()
    panel.settle()
    assert panel.host.area.window().focusWidget() is panel.ui.applyButton._target


@pytest.mark.parametrize("state", ["before Apply", "review"])
def test_the_bar_is_in_sight_at_1280_by_720(state: str, panel: Any) -> None:
    if state == "review":
        show_planted_errors(panel)
        panel.ui.inputsCollapsibleButton.collapsed = True
        panel.ui.outputsCollapsibleButton.collapsed = True
        panel.ui.reviewCollapsibleButton.collapsed = False
        panel.panel.review.scoring.stop()
        panel.panel.review.step(1)
        panel.settle()
    else:
        panel.volume()
    panel.show(height=SMALL_VIEWPORT)
    assert panel.host.area.widget().height() <= SMALL_VIEWPORT, "Slicer's own scroll area has nothing to scroll"
    for name in (
        "applyButton",
        "cancelButton",
        *(("reviewApproveButton", "reviewNextButton") if state == "review" else ()),
    ):
        assert bottom(panel, name) <= SMALL_VIEWPORT
    if state == "review":
        scrolled = panel.ui.panelScrollArea._target
        assert scrolled.height() >= 200
        assert bottom(panel, "reviewTable") <= scrolled.height() + 2, "the list is in sight without scrolling"


def test_the_panel_keeps_its_width_whatever_is_open(panel: Any) -> None:
    """An effect with wide options gets a scroll bar of its own."""
    panel.volume()
    panel.apply()
    root = panel.widget._form._target
    for name in ("inputs", "organs", "outputs", "review", "edit", "compare", "export", "advanced", "installation"):
        getattr(panel.ui, f"{name}CollapsibleButton").collapsed = False
    panel.show(height=720)
    assert root.minimumSizeHint().width() <= root.minimumWidth() == 392
    assert root.sizeHint().width() <= 420
    panel.panel.result.editor._target.setMinimumWidth(575)  # as Paint's options are in Slicer 5.8
    panel.show(height=720)
    assert root.minimumSizeHint().width() <= 392
    contents = panel.ui.panelContents._target
    assert contents.width() <= panel.ui.panelScrollArea._target.viewport().width()
    assert panel.ui.editScrollArea._target.horizontalScrollBar().isVisible()


@pytest.mark.parametrize("points", [0, 15])
def test_nothing_is_cut_in_a_narrow_panel_with_large_letters(points: int, panel: Any) -> None:
    from PySide6 import QtGui, QtWidgets

    application = panel.stand_ins.application
    before = application.font()
    if points:
        application.setFont(QtGui.QFont(before.family(), points))
    try:
        show_planted_errors(panel)
        panel.ui.reviewCollapsibleButton.collapsed = False
        panel.panel.review.scoring.stop()
        panel.panel.review.step(1)
        panel.settle()
        panel.show(width=400)
        listed = panel.ui.reviewTable._target
        metrics = listed.fontMetrics()
        for row in range(listed.rowCount()):
            assert listed.rowHeight(row) >= metrics.height()
            for column in range(2, 6):
                text = listed.item(row, column).text()
                assert metrics.horizontalAdvance(text) <= listed.columnWidth(column), text
        assert listed.rowCount() == 22
        assert not listed.verticalScrollBar().isVisible(), "all 22 rows, where the window is high enough"
        for name in ("Previous", "Approve", "Next"):
            button = getattr(panel.ui, f"review{name}Button")._target
            assert button.fontMetrics().horizontalAdvance(button.text()) < button.width()
        contents = panel.ui.panelContents._target
        for button in contents.findChildren(QtWidgets.QPushButton):
            if button.isVisible():
                assert button.fontMetrics().horizontalAdvance(button.text()) <= button.width(), button.objectName()
    finally:
        application.setFont(before)


# --- one list


def test_the_editors_own_list_is_hidden_and_its_effects_stay(reviewed: Any) -> None:
    from PySide6 import QtWidgets

    editor = reviewed.panel.result.editor._target
    for name in ("SegmentsTableResizableFrame", "AddSegmentButton", "RemoveSegmentButton", "Show3DButton"):
        assert editor.findChild(QtWidgets.QWidget, name).isHidden(), name
    effects = [b for b in editor.findChildren(QtWidgets.QToolButton) if b.text() in ("Paint", "Erase")]
    assert len(effects) == 2
    assert not any(button.isHidden() for button in effects)


def test_the_eye_of_a_row_hides_its_organ_and_shows_it_again(reviewed: Any) -> None:
    node = reviewed.parameters.resultSegmentation
    listed = reviewed.ui.reviewTable._target
    row = [r[0] for r in table(reviewed)].index("Larynx")
    segment_id = reviewed.panel.review.review.segments()["Larynx"]
    assert listed.item(row, 0).text() == "◉"
    listed.cellClicked.emit(row, 0)
    assert not node.GetDisplayNode().GetSegmentVisibility(segment_id)
    assert listed.item(row, 0).text() == "○"
    listed.cellClicked.emit(row, 0)
    assert node.GetDisplayNode().GetSegmentVisibility(segment_id)
    listed.cellClicked.emit(row, 2)
    assert node.GetDisplayNode().GetSegmentVisibility(segment_id), "only the eye does"


def test_a_row_has_the_organs_colour(reviewed: Any) -> None:
    listed = reviewed.ui.reviewTable._target
    segmentation = reviewed.parameters.resultSegmentation.GetSegmentation()
    row = [r[0] for r in table(reviewed)].index("Larynx")
    color = segmentation.GetSegment(reviewed.panel.review.review.segments()["Larynx"]).GetColor()
    shown = listed.item(row, 1).icon().pixmap(12, 12).toImage().pixelColor(5, 5)
    assert [shown.red(), shown.green(), shown.blue()] == [round(255 * part) for part in color]


def test_the_models_own_warnings_stand_with_the_reasons(panel: Any) -> None:
    from dataclasses import replace

    from FocusNetSegmentationLib.panel.review import _reasons

    panel.volume()
    panel.apply()
    row = replace(panel.panel.review.table.rows[0], organ="Larynx", reasons=("Small.",), warnings=("Localized < 0.5.",))
    from ..helpers_panel import plain

    assert plain(_reasons(row)) == "Larynx: Small. ⚠ The model says: Localized < 0.5."
