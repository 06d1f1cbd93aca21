"""Panel on stand-ins: keys in the slice views. Not "tested in Slicer": see stand_ins.py."""

from __future__ import annotations

from typing import Any

import pytest

from ..helpers_panel_review import choose, states


@pytest.fixture
def viewed(reviewed: Any) -> Any:
    """A reviewed panel with three slice views."""
    from ..stand_ins_widgets import LayoutManager

    reviewed.leave()
    reviewed.manager = reviewed.stand_ins.app.layout_manager = LayoutManager()
    reviewed.enter()
    return reviewed


def in_view(panel: Any, key: str, name: str = "Red") -> Any:
    """The key's shortcut in one slice view."""
    from PySide6 import QtGui

    view = panel.manager.widgets[name]
    found = [s for s in view.findChildren(QtGui.QShortcut) if s.key() == QtGui.QKeySequence(key) and s.isEnabled()]
    assert len(found) <= 1, "a key that has two meanings has none"
    return found[0] if found else None


def press(panel: Any, key: str) -> None:
    in_view(panel, key).activated.emit()
    panel.settle()


def test_single_keys_lead_through_the_organs(viewed: Any) -> None:
    press(viewed, "N")
    assert viewed.panel.review.current == "Larynx"
    press(viewed, "N")
    assert viewed.panel.review.current == "Parotid_L"
    press(viewed, "P")
    press(viewed, "A")
    assert states(viewed)["Larynx"] == "✓ approved"
    assert viewed.panel.review.current == "Parotid_L"


def test_f_fills_the_organ_h_hides_the_others_and_w_changes_the_window(viewed: Any) -> None:
    choose(viewed, "Larynx")
    node = viewed.parameters.resultSegmentation
    display, ids = node.GetDisplayNode(), viewed.panel.review.review.segments()
    filled = display.GetSegmentVisibility2DFill(ids["Larynx"])
    press(viewed, "F")
    assert display.GetSegmentVisibility2DFill(ids["Larynx"]) != filled
    press(viewed, "H")
    assert not display.GetSegmentVisibility(ids["Brainstem"])
    assert display.GetSegmentVisibility(ids["Larynx"])
    press(viewed, "N")
    assert not display.GetSegmentVisibility(ids["Brainstem"]), "the next organ is alone too"
    press(viewed, "H")
    assert display.GetSegmentVisibility(ids["Brainstem"])
    window = viewed.parameters.inputVolume.GetDisplayNode()
    seen = {(window.GetWindow(), window.GetLevel())}
    for _ in range(2):
        press(viewed, "W")
        seen.add((window.GetWindow(), window.GetLevel()))
    assert seen == {(350, 40), (120, 40), (2000, 500)}


def test_the_sheet_names_every_key(viewed: Any) -> None:
    from FocusNetSegmentationLib.panel.shortcuts import VIEW_KEYS

    from ..helpers_panel import plain

    press(viewed, "?")
    name, text, _ = viewed.stand_ins.dialogs[-1]
    assert name == "infoDisplay"
    for key in VIEW_KEYS:
        assert key in plain(text)
        assert in_view(viewed, key) is not None, key
    assert "paint, erase, draw, scissors" in text


def test_1_to_4_are_the_editors_own_keys_for_its_first_four_effects(viewed: Any) -> None:
    assert viewed.panel.result.editor._target.effect_order[:4] == ["Paint", "Erase", "Draw", "Scissors"]
    assert in_view(viewed, "1") is None


def test_a_is_the_draw_effects_while_it_is_active(viewed: Any) -> None:
    """There it closes the outline: it must not approve the organ at the same time."""
    choose(viewed, "Larynx")
    viewed.panel.result.editor.setActiveEffectByName("Draw")
    assert in_view(viewed, "A") is None
    assert in_view(viewed, "N") is not None
    viewed.panel.result.editor.setActiveEffectByName("Paint")
    assert in_view(viewed, "A") is not None


def test_the_editors_own_w_does_not_cancel_ours(viewed: Any) -> None:
    """Two shortcuts on one key are ambiguous for Qt: neither acts."""
    from PySide6 import QtGui, QtWidgets

    from ..stand_ins import wrap

    window = QtWidgets.QMainWindow()
    keys = {key: QtGui.QShortcut(QtGui.QKeySequence(key), window) for key in "QWZ"}
    viewed.stand_ins.slicer.util.mainWindow = lambda: wrap(window)
    viewed.leave()
    viewed.enter()
    assert not keys["W"].isEnabled()
    assert keys["Q"].isEnabled()
    assert keys["Z"].isEnabled()


def test_views_of_another_layout_get_the_keys_and_a_left_module_has_none(viewed: Any) -> None:
    from ..stand_ins_widgets import SliceWidget

    viewed.manager.widgets["Slice4"] = SliceWidget()
    viewed.manager.layoutChanged.emit(3)
    assert in_view(viewed, "A", "Slice4") is not None
    viewed.leave()
    for name in viewed.manager.widgets:
        assert in_view(viewed, "A", name) is None
    viewed.manager.layoutChanged.emit(2)
    assert in_view(viewed, "A") is None
