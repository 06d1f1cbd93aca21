"""The current organ's shape prior and seed: shown, coloured, taken over, run again from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from focusnet.errors import FocusNetError

from ..review.seed_points import place_seed, seed_mm_lps, seed_of, show_seed, why_no_seed
from ..review.shape_prior import is_outdated, shape_priors_of, show_shape_prior, use_shape
from ..review.shape_prior_distance import color_by_distance, hide_distance

if TYPE_CHECKING:
    from ..scene.types import SegmentationNode
    from .review import ReviewSection


class ShapeTools:
    """Buttons below the list. ``section``: the ReviewSection."""

    def __init__(self, section: ReviewSection) -> None:
        self.section, self.ui = section, section.ui
        self._tips = {name: getattr(self.ui, name).toolTip for name in self.BUTTONS}
        for name, slot in (
            ("shapePriorButton", self.follow),
            ("distanceButton", self.follow),
            ("useShapeButton", self.onUseShape),
            ("useShapeHereButton", self.onUseShapeHere),
            ("seedButton", self.follow),
            ("runSeedButton", self.onRunSeed),
        ):
            getattr(self.ui, name).connect("clicked(bool)", slot)

    SHAPE_PRIOR_BUTTONS = ("shapePriorButton", "distanceButton", "useShapeButton", "useShapeHereButton")
    BUTTONS = (*SHAPE_PRIOR_BUTTONS, "seedButton", "runSeedButton")

    @property
    def organ(self) -> str:
        """Return the name of the organ under review, "" if there is none."""
        return self.section.current or ""

    @property
    def node(self) -> SegmentationNode | None:
        return self.section.node

    def update(self) -> None:
        """Enable what can be pressed; the tool tip of a button that cannot says why."""
        shape_prior, seed = self._why_no_shape_prior(), self._why_no_seed()
        for name in self.SHAPE_PRIOR_BUTTONS:
            self._enable(name, shape_prior)
        self.ui.brushSpinBox.enabled = not shape_prior
        self._enable("seedButton", seed)
        if not seed and (seed_of(self.node, self.organ) is None or not self.ui.seedButton.checked):
            seed = _("Show the seed first and drag it to where the organ is.")
        self._enable("runSeedButton", seed)

    def _enable(self, name: str, why_not: str) -> None:
        button = getattr(self.ui, name)
        button.enabled = not why_not
        button.toolTip = why_not or self._tips[name]

    def _why_no_shape_prior(self) -> str:
        if not self.organ:
            return _("Choose an organ in the list first.")
        if self.organ not in shape_priors_of(self.node):
            return _("There is no shape prior of this organ.")
        return ""

    def _why_no_seed(self) -> str:
        if not self.organ:
            return _("Choose an organ in the list first.")
        if self.section.panel.runs.is_running:
            return _("A segmentation is running.")
        entry = self.section.panel.models.entry
        return (
            _("Choose a model first.") if entry is None else why_no_seed(entry.part_of(self.organ).manifest, self.organ)
        )

    # Showing -------------------------------------------------------------------------------------------------------------------------

    def follow(self, *_args: object) -> None:
        """Show of the current organ what is switched on."""
        if self.node is None:
            return
        self._try(self._show)
        self.section.fill()

    def _show(self) -> None:
        has_shape_prior, has_seed = not self._why_no_shape_prior(), not self._why_no_seed()
        show_shape_prior(self.node, self.organ if has_shape_prior and self.ui.shapePriorButton.checked else None)
        hide_distance(self.node)
        if has_shape_prior and self.ui.distanceButton.checked:
            color_by_distance(self.section.panel.scene, self.node, self.organ)
        if has_seed and self.ui.seedButton.checked:
            place_seed(self.section.panel.scene, self.node, self.organ, self._middle_of_views())
            show_seed(self.node, self.organ)
        else:
            show_seed(self.node, None)
        if has_shape_prior and self.ui.shapePriorButton.checked and self._is_outdated():
            self.section.say(
                "warning", _("The shape prior was made before the organ was changed. Score again to renew it.")
            )

    def _is_outdated(self) -> bool:
        review = self.section.review
        now = review.current_fingerprints().get(self.organ) if review is not None else None
        return is_outdated(self.node, self.organ, now)

    def hide(self) -> None:
        """Hide shape prior, distances and seeds; the switches stay as they are."""
        if self.node is not None:
            show_shape_prior(self.node, None)
            hide_distance(self.node)
            show_seed(self.node, None)

    def _middle_of_views(self) -> tuple[float, float, float] | None:
        node = self.section.panel.scene.GetFirstNodeByClass("vtkMRMLSliceNode")
        if node is None:
            return None
        matrix = node.GetSliceToRAS()
        return (matrix.GetElement(0, 3), matrix.GetElement(1, 3), matrix.GetElement(2, 3))

    # The prior's shape -----------------------------------------------------------------------------------------------------------------

    def onUseShape(self, *_args: object) -> None:
        self._use(lambda save: use_shape(self.node, self.organ, save_state=save))

    def onUseShapeHere(self, *_args: object) -> None:
        """Use the shape prior inside a sphere around the crosshair, which follows the mouse while Shift is held."""
        crosshair = self.section.panel.scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        if crosshair is None:
            self.section.say(
                "warning", _("There is no crosshair in this scene: hold Shift and move the mouse over the organ first.")
            )
            return
        x, y, z = crosshair.GetCrosshairRAS()
        self._use(lambda save: use_shape(self.node, self.organ, (x, y, z), float(self.ui.brushSpinBox.value), save))

    def _use(self, use: Callable[[Callable[[], object] | None], int]) -> None:
        editor = self.section.panel.result.editor
        save = editor.saveStateForUndo if editor is not None else None

        def act() -> None:
            review = self.section.review
            before = dict(review.current_fingerprints()) if review is not None else {}
            changed = use(save)
            now = review.current_fingerprints() if review is not None and changed else before
            grown = [o for o in before if o != self.organ and not now[o].same_as(before[o])]
            undo = _(" Undo in the editor takes it back.") if save is not None else ""
            text = _("{count} voxels took the shape prior's shape. It is not truth: check them.").format(count=changed)
            if grown:
                text += _(" What it gave up next to {organs} went there.").format(organs=", ".join(grown))
            self.section.say("warning" if changed else "", text + undo if changed else _("Nothing to change here."))

        self._try(act)
        self.follow()

    # The seed ----------------------------------------------------------------------------------------------------------------------------

    def onRunSeed(self, *_args: object) -> None:
        organ, node = self.organ, self.node
        if self._why_no_seed():
            return
        self._try(
            lambda: self.section.panel.runs.start_at_seed(
                self.section.volume_node, node, organ, seed_mm_lps(node, organ)
            )
        )

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except FocusNetError as problem:
            slicer.util.errorDisplay(str(problem), windowTitle=_("Review"))
