"""Grey-scale windows of the review on Slicer's own core: soft tissue from the start, by organ, by hand, by key, and the user's again."""

from __future__ import annotations

from typing import Any

import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core (Python 3.12: pip install '.[slicer-test]')")

from FocusNetSegmentationLib.review.windows import BONE, BRAIN, SOFT_TISSUE, Windows, show_soft_tissue

from ..helpers_nodes import World

OWN = (1234.0, 321.0)


def ct_of(world: World, window: tuple[float, float] | None = OWN) -> Any:
    """A CT whose window a person has set; None: an automatic one."""
    ct, _, _ = world.result()
    ct.CreateDefaultDisplayNodes()
    display = ct.GetDisplayNode()
    display.SetAutoWindowLevel(window is None)
    if window is not None:
        display.SetWindowLevel(*window)
    return ct


def window_of(ct: Any) -> tuple[float, float]:
    return (ct.GetDisplayNode().GetWindow(), ct.GetDisplayNode().GetLevel())


def test_a_ct_that_is_chosen_gets_the_soft_tissue_window_unless_somebody_has_set_one(world: World) -> None:
    automatic = ct_of(world, None)
    assert window_of(automatic) != SOFT_TISSUE
    assert show_soft_tissue(automatic)
    assert window_of(automatic) == SOFT_TISSUE
    by_hand = ct_of(world)
    assert not show_soft_tissue(by_hand)
    assert window_of(by_hand) == OWN
    assert not show_soft_tissue(None)


def test_each_organ_has_its_window_and_the_users_comes_back(world: World) -> None:
    ct, windows = ct_of(world), Windows(world.scene)
    for organ, expected in (("Parotid_L", SOFT_TISSUE), ("Brainstem", BRAIN), ("Bone_Mandible", BONE)):
        windows.show(ct, organ)
        assert window_of(ct) == expected
    windows.restore()
    assert window_of(ct) == OWN
    assert not ct.GetDisplayNode().GetAutoWindowLevel()
    assert not windows.is_active


def test_an_automatic_window_is_automatic_again(world: World) -> None:
    ct, windows = ct_of(world, None), Windows(world.scene)
    windows.show(ct, "Parotid_L")
    assert not ct.GetDisplayNode().GetAutoWindowLevel()
    windows.restore()
    assert ct.GetDisplayNode().GetAutoWindowLevel()


def test_a_window_set_by_hand_stays_for_that_organ_until_the_review_ends(world: World) -> None:
    ct, windows = ct_of(world), Windows(world.scene)
    windows.show(ct, "Parotid_L")
    ct.GetDisplayNode().SetWindowLevel(200.0, 60.0)  # with the mouse
    windows.show(ct, "Parotid_L")
    assert window_of(ct) == (200.0, 60.0), "choosing the organ again does not take it away"
    windows.show(ct, "Parotid_R")
    assert window_of(ct) == SOFT_TISSUE, "it is of that organ alone"
    windows.show(ct, "Parotid_L")
    assert window_of(ct) == (200.0, 60.0)
    windows.restore()
    windows.show(ct, "Parotid_L")
    assert window_of(ct) == SOFT_TISSUE


def test_a_key_goes_through_soft_tissue_brain_bone_and_the_persons_own(world: World) -> None:
    ct, windows = ct_of(world), Windows(world.scene)
    windows.show(ct, "Parotid_L")
    ct.GetDisplayNode().SetWindowLevel(200.0, 60.0)
    names = [windows.cycle(ct, "Parotid_L") for _ in range(5)]
    assert names == ["soft tissue", "brain", "bone", "own", "soft tissue"]
    windows.cycle(ct, "Parotid_L")
    windows.show(ct, "Larynx")
    windows.show(ct, "Parotid_L")
    assert window_of(ct) == BRAIN, "what was chosen stays for the organ"
    windows.cycle(ct, "Parotid_L")
    windows.cycle(ct, "Parotid_L")
    assert window_of(ct) == (200.0, 60.0)


def test_without_a_window_of_their_own_the_users_before_the_review_counts_unless_it_was_automatic(world: World) -> None:
    ct, windows = ct_of(world), Windows(world.scene)
    windows.show(ct, "Parotid_L")
    assert [windows.cycle(ct, "Parotid_L") for _ in range(3)] == ["brain", "bone", "own"]
    assert window_of(ct) == OWN
    automatic, windows = ct_of(world, None), Windows(world.scene)
    windows.show(automatic, "Parotid_L")
    assert [windows.cycle(automatic, "Parotid_L") for _ in range(3)] == ["brain", "bone", "soft tissue"]
    assert windows.cycle(None) == ""
