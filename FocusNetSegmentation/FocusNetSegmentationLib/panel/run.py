"""Apply, Cancel, progress and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from focusnet.errors import FocusNetError

from ..process.worker import WorkerBusyError
from ..scene.types import VolumeNode
from .widgets import choose

if TYPE_CHECKING:
    from ..process.inference import BatchItem, BatchRun, Callbacks, SegmentationRun
    from ..process.worker_protocol import ProgressEvent
    from ..scene.nodes import SegmentationImport
    from ..scene.types import SegmentationNode
    from .panel import Panel


class RunSection:
    """Starts runs and shows how they go. ``options``: passed on to every run (tests put another worker there)."""

    def __init__(self, panel: Panel, options: dict[str, Any]) -> None:
        self.panel, self.ui, self.options = panel, panel.ui, options
        self.run: SegmentationRun | BatchRun | None = None
        self.volume_node: VolumeNode | None = None
        self._started = 0.0
        self._why_cancelled = ""
        self._details = ("", "")
        ui = self.ui
        ui.applyButton.connect("clicked(bool)", self.onApply)
        ui.cancelButton.connect("clicked(bool)", self.onCancel)
        ui.allVolumesButton.connect("clicked(bool)", self.onAllVolumes)
        ui.detailsButton.connect("clicked(bool)", self.onDetails)
        ui.progressBar.setRange(0, 100)
        ui.progressBar.hide()
        ui.detailsButton.hide()

    @property
    def is_running(self) -> bool:
        return self.run is not None and bool(self.run.is_running)

    def onApply(self, *_args: object) -> None:
        panel = self.panel
        if self.is_running or panel.parameters is None:
            return
        panel.models.reload()  # a folder may have gone since it was listed
        panel.refresh()
        reason = panel.why_not()
        if reason:
            panel.say("refused", reason)
            return
        node = panel.result_node
        goes_on, organs = self._organs_to_draw(node)
        if not goes_on:
            panel.say("", _("Nothing was changed."))
            return
        self.volume_node = panel.volume_node
        self._start(
            lambda callbacks: panel.logic.process(
                panel.volume_node, node, organs=organs, callbacks=callbacks, **self._settings()
            )
        )

    def start_at_seed(
        self, volume_node: VolumeNode, node: SegmentationNode, organ: str, place_mm_lps: tuple[float, float, float]
    ) -> None:
        """Draw one organ again, at the place that a person gave."""
        panel = self.panel
        if self.is_running or panel.parameters is None:
            return
        edited, approved = self._touched(node, [organ])
        if (edited or approved) and not slicer.util.confirmOkCancelDisplay(
            _touched_text(node, edited, approved), _("Overwrite changes?")
        ):
            return
        self.volume_node = volume_node
        self._start(
            lambda callbacks: panel.logic.process(
                volume_node, node, organs=[organ], seeds={organ: place_mm_lps}, callbacks=callbacks, **self._settings()
            )
        )

    def onAllVolumes(self, *_args: object) -> None:
        panel = self.panel
        if self.is_running or panel.parameters is None:
            return
        volumes = self._volumes_to_draw()
        if volumes is None:
            panel.say("", _("Nothing was changed."))
            return
        self.volume_node = None
        self._items: list[BatchItem] = []
        self._start(
            lambda _callbacks: panel.logic.processScene(
                volume_nodes=volumes,
                organs=panel.models.chosen_organs(),
                on_progress=self._progress,
                on_item=self._items.append,
                on_finished=self._all_done,
                **self._settings(),
            )
        )

    def _settings(self) -> dict[str, Any]:
        parameters, entry = self.panel.parameters, self.panel.models.entry
        assert entry is not None  # without one, Apply cannot be pressed
        offset = parameters.huOffset
        settings = {"model": entry.name, "device": parameters.device, "wait": False}
        return {**settings, **({"hu_offset": float(offset)} if offset else {}), **self.options}

    def _volumes_to_draw(self) -> list[VolumeNode] | None:
        """Return the scene's volumes, or those without a result, as a person wants it; None for nothing: a CT gets no second result unasked."""
        scene = self.panel.scene
        found = [
            scene.GetNthNodeByClass(i, "vtkMRMLScalarVolumeNode")
            for i in range(scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode"))
        ]
        volumes = [node for node in found if node.GetClassName() == "vtkMRMLScalarVolumeNode"]
        without = [node for node in volumes if self.panel.result.result_of(node) is None]
        names = ", ".join(node.GetName() for node in volumes if node not in without)
        if not names:
            return volumes
        text = _("These CTs have a result already: {names}. It stays as it is; a second one would be made beside it.")
        title = _("Segment every CT of the scene")
        if not without:
            return volumes if slicer.util.confirmOkCancelDisplay(text.format(names=names), title) else None
        answers = [_("Only the others ({count})").format(count=len(without)), _("All, with a second result")]
        answer = choose(title, text.format(names=names), answers)
        return None if answer is None else (without, volumes)[answer]

    def _organs_to_draw(self, node: SegmentationNode | None) -> tuple[bool, list[str] | None]:
        """Return whether to go on, and the organs to draw (None for all of the model): those that nobody has touched, or all, as a person wants
        it."""
        organs = self.panel.models.chosen_organs()
        drawn = self.panel.models.ticked()
        edited, approved = self._touched(node, drawn)
        if not edited and not approved:
            return True, organs
        text, title = _touched_text(node, edited, approved), _("Draw again?")
        untouched = [name for name in drawn if name not in edited and name not in approved]
        if not untouched:
            return bool(slicer.util.confirmOkCancelDisplay(text, title)), organs
        answers = [
            _("Only the {count} organs that nobody touched").format(count=len(untouched)),
            _("All {count} organs").format(count=len(drawn)),
        ]
        answer = choose(title, text, answers)
        return answer is not None, untouched if answer == 0 else organs

    def _touched(self, node: SegmentationNode | None, organs: list[str]) -> tuple[list[str], list[str]]:
        """Return which of ``organs`` a person has changed, and which are approved."""
        from ..review.states import states_of
        from ..scene.nodes import edited_segments

        if node is None:
            return [], []
        edited = [name for name in edited_segments(node) if name in organs]
        approved = [name for name, state in states_of(node).items() if state == "approved" and name in organs]
        return edited, approved

    def _start(self, start: Callable[[Callbacks], Any]) -> None:
        from ..process.inference import Callbacks

        panel = self.panel
        self._started, self._why_cancelled = time.monotonic(), ""
        self.ui.progressBar.setValue(0)
        panel.say("", _("Starting..."))
        callbacks = Callbacks(
            on_progress=self._progress,
            on_done=self._done,
            on_failed=self._failed,
            on_cancelled=self._cancelled,
        )
        try:
            self.run = start(callbacks)
        except (FocusNetError, WorkerBusyError, OSError) as problem:
            self.run = None
            panel.say("error", str(problem))
        self.ui.progressBar.setVisible(self.is_running)
        panel.refresh()

    def onCancel(self, *_args: object) -> None:
        if self.run is not None and self.is_running:
            self.run.cancel()

    def stop(self, why: str) -> None:
        """End a run that has lost its ground, and say so."""
        if self.run is not None and self.is_running:
            self._why_cancelled = why
            self.run.cancel()

    def stop_if_volume_is_gone(self) -> None:
        if self.volume_node is not None and self.volume_node.GetScene() is None:
            self.stop(_("The CT was removed, so the run was stopped."))

    def close(self) -> None:
        """End a run without a message: the panel is going away."""
        run, self.run = self.run, None
        if run is not None and run.is_running:
            (run.close if hasattr(run, "close") else run.cancel)()

    # What the run tells ------------------------------------------------------------------------------------------------------------

    def _progress(self, event: ProgressEvent) -> None:
        self.ui.progressBar.setValue(round(100 * event.fraction))
        self.panel.say("", ": ".join(filter(None, (event.step, event.message))) or _("Working..."))

    def _done(self, imported: SegmentationImport) -> None:
        panel = self.panel
        seconds = time.monotonic() - self._started
        found = len(imported.segment_ids) - len(imported.missing) - len(imported.uncertain)
        parts = [_("Done in {seconds:.0f} s: {found} organs.").format(seconds=seconds, found=found)]
        if imported.uncertain:
            parts.append(_("Uncertain: {organs}.").format(organs=", ".join(imported.uncertain)))
        if imported.missing:
            parts.append(_("Not found: {organs}.").format(organs=", ".join(imported.missing)))
        parts += imported.warnings
        if panel.parameters is not None:
            panel.parameters.resultSegmentation = imported.node
        is_sure = not (imported.uncertain or imported.missing or imported.warnings)
        self._end("ok" if is_sure else "warning", " ".join(parts), of_case=True)
        panel.open_result(imported.node)

    def _failed(self, message: str, details: str) -> None:
        self._end("error", message, details)
        if "Open Installation" in message:
            self.ui.installationCollapsibleButton.collapsed = False
            self.panel.installation.check()

    def _cancelled(self) -> None:
        self._end("", self._why_cancelled or _("Cancelled. Nothing was changed."))

    def _all_done(self, items: list[BatchItem]) -> None:
        done = [item for item in items if item.status == "done"]
        parts = [_("{done} of {total} volumes segmented.").format(done=len(done), total=len(items))]
        details = "\n".join(f"{item.volume_node.GetName()}: {item.status}. {item.message}" for item in items)
        last = done[-1] if done else None
        if last is not None and last.imported is not None and self.panel.parameters is not None:
            self.panel.parameters.inputVolume = last.volume_node
            self.panel.parameters.resultSegmentation = last.imported.node
        self._end("ok" if len(done) == len(items) else "warning", " ".join(parts), details)

    def _end(self, level: str, text: str, details: str = "", of_case: bool = False) -> None:
        self.volume_node = None
        self.ui.progressBar.hide()
        self.panel.say(level, text, details, of_case)
        self.panel.models.reload()
        self.panel.refresh()

    # Details -----------------------------------------------------------------------------------------------------------------------

    def set_details(self, message: str, details: str) -> None:
        self._details = (message, details)
        self.ui.detailsButton.setVisible(bool(details))

    def onDetails(self, *_args: object) -> None:
        message, details = self._details
        slicer.util.infoDisplay(message, windowTitle=_("Details"), detailedText=details)


def _touched_text(node: SegmentationNode, edited: list[str], approved: list[str]) -> str:
    parts = []
    if edited:
        text = _("These organs of {node} were changed by hand: {organs}. Drawn anew, the changes are lost.")
        parts.append(text.format(node=node.GetName(), organs=", ".join(edited)))
    if approved:
        text = _("These organs are approved: {organs}. Drawn anew, they are drafts again.")
        parts.append(text.format(organs=", ".join(approved)))
    return "\n\n".join(parts)
