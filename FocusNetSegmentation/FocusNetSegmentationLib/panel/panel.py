"""The module's panel: it holds the sections together, knows the chosen CT, and says what can be pressed and why not.

The form is Resources/UI/FocusNetSegmentation.ui; each section has a class of its own, in a file of its own beside this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from focusnet.errors import FocusNetError

from ..messages import marked
from ..scene.types import ParameterNode, SegmentationNode, VolumeNode, Widget
from ..scene.volumes import check_node, hardened_copy, has_non_linear_transform, volume_summary
from .compare import CompareSection
from .install import InstallSection
from .models import ModelSection
from .result import ResultSection
from .review import ReviewSection
from .run import RunSection
from .slice_views import is_shown
from .widgets import set_enabled

if TYPE_CHECKING:
    from FocusNetSegmentation import FocusNetSegmentationLogic

REFRESH_MS = 100  # changes of a volume come in bursts while it is loaded


class Panel:
    """``ui``: the form's widgets by name. ``logic``: FocusNetSegmentationLogic. ``options``: passed on to every run."""

    def __init__(self, ui: Widget, logic: FocusNetSegmentationLogic, options: dict[str, Any] | None = None) -> None:
        self.ui, self.logic, self.scene = ui, logic, slicer.mrmlScene
        self.parameters: ParameterNode = None  # while the scene is being closed there is none
        self.level, self.sentence = "refused", ""
        self._last_message = ("", "")  # level and text of the last thing that happened
        self._is_of_case = False  # that sentence is about the chosen CT, and goes with it
        self._is_entered = False
        self._opens: SegmentationNode | None = None  # a result that came while another module was open
        self._checked: tuple[Any, ...] | None = None
        self._input_id: str | None = None
        self._shown_id: str | None = None  # of the CT that was put into the views last
        self._result_id: str | None = None
        self._refreshing = False
        self.models = ModelSection(self)
        self.installation = InstallSection(self)
        self.result = ResultSection(self)
        self.runs = RunSection(self, options or {})
        self.review = ReviewSection(self)
        self.compare = CompareSection(self)
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(REFRESH_MS)
        self._timer.connect("timeout()", self.refresh)
        ui.loadDicomButton.connect("clicked(bool)", self.onLoadDicom)
        ui.sampleDataButton.connect("clicked(bool)", self.onSampleData)
        ui.hardenButton.connect("clicked(bool)", self.onHarden)
        if not hasattr(slicer.modules, "dicom"):
            ui.loadDicomButton.text = _("Load file...")
            ui.loadDicomButton.toolTip = _("Load a CT from a file. This Slicer was built without DICOM.")

    # Lifecycle -------------------------------------------------------------------------------------------------------------------

    def set_parameters(self, parameters: ParameterNode) -> None:
        """Show this parameter node from now on; None while the scene is being closed."""
        self.parameters = parameters
        self._checked = None
        self._input_id = None
        if parameters is not None:
            self.choose_default_volume()
            self.models.update()
            self.refresh()

    def enter(self) -> None:
        self.models.reload()
        self.installation.check_once()
        self.result.enter()
        self.review.enter()
        self._is_entered = True
        self.refresh()
        node, self._opens = self._opens, None
        if node is not None and node.GetScene() is self.scene:
            self.open_result(node)

    def exit(self) -> None:
        self._is_entered = False
        self.review.exit()
        self.result.exit()

    def scene_closing(self) -> None:
        """Stop a run whose CT is about to go, and let go of the scene: no sentence about it stays."""
        self.say("", "")
        self.models.message = ("", "")
        self._shown_id = self._result_id = self._opens = None
        self.runs.stop(_("The scene was closed, so the run was stopped."))
        self.review.scene_closing()
        self.compare.clear()
        self.result.scene_closing()
        self.set_parameters(None)

    def scene_came(self) -> None:
        """A scene was loaded or closed: what was set in views and editor before does not hold any more."""
        self.result.scene_came()

    def open_result(self, node: SegmentationNode) -> None:
        """Go over to the review of a result that has just come: the inputs fold, the worst organ is shown. While another module is open the views
        are that one's: it is done when this one is opened again."""
        if not self._is_entered:
            self._opens = node
            return
        self.result.show_new(node)
        self.ui.inputsCollapsibleButton.collapsed = True
        self.ui.outputsCollapsibleButton.collapsed = True
        self.ui.editCollapsibleButton.collapsed = False
        self.review.open_on_worst()

    def close(self) -> None:
        """Leave nothing behind: no process, no timer, no editor shortcut."""
        self._timer.stop()
        self.runs.close()
        self.models.close()
        self.installation.close()
        self.review.close()
        self.result.close()
        self._timer.deleteLater()  # as all timers: they hold on to what they call, and so to the whole panel
        self.parameters = None

    # The chosen CT ---------------------------------------------------------------------------------------------------------------

    @property
    def volume_node(self) -> VolumeNode | None:
        return self.parameters.inputVolume if self.parameters is not None else None

    @property
    def result_node(self) -> SegmentationNode | None:
        return self.parameters.resultSegmentation if self.parameters is not None else None

    def scene_changed(self, *_: object) -> None:
        """Refresh a moment after nodes came, went or changed: such news come in bursts."""
        if self.parameters is not None:
            self.runs.stop_if_volume_is_gone()
            self._timer.start()

    def choose_default_volume(self) -> None:
        """Choose, with nothing chosen yet, the CT in the slice views, else the first volume that can be one."""
        if self.parameters is None or self.volume_node is not None:
            return
        count = self.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
        nodes = [self.scene.GetNthNodeByClass(index, "vtkMRMLScalarVolumeNode") for index in range(count)]
        for node in sorted(nodes, key=lambda node: not is_shown(self.scene, node)):
            if node.GetClassName() == "vtkMRMLScalarVolumeNode" and not node.GetHideFromEditors():
                try:
                    check_node(node)
                except FocusNetError:
                    continue
                self.parameters.inputVolume = node
                return

    def _check_volume(self) -> None:
        """Judge the CT, which reads its voxels: only when it is another one or has changed."""
        node = self.volume_node
        image = node.GetImageData() if node is not None else None
        parent = node.GetParentTransformNode() if node is not None else None
        key = (
            node.GetID() if node is not None else None,
            node.GetMTime() if node is not None else 0,
            image.GetMTime() if image is not None else 0,
            parent.GetMTime() if parent is not None else 0,
            self.installation.done,  # with all packages there, more is checked
            self.parameters.huOffset,
        )
        if key == self._checked:
            return
        self._checked = key
        if node is None:
            self.level, self.sentence = "none", _("Load a head-and-neck CT, or try the sample data.")
        else:
            self.level, self.sentence = volume_summary(node, float(self.parameters.huOffset))
        self.ui.inputStatusLabel.text = marked(self.level, self.sentence)
        self.ui.hardenButton.setVisible(has_non_linear_transform(node))

    def _input_changed(self) -> None:
        """Another CT: it is shown with its own result, or none, never with another patient's, and no sentence about the last one stays."""
        node = self.volume_node
        node_id = node.GetID() if node is not None else None
        if node_id == self._input_id:
            return
        if self._is_of_case and self._input_id is not None:
            self.say("", "")
        self._input_id = node_id
        current = self.result_node
        if current is None or (node is not None and self.result.volume_of(current) is not node):
            known = self.result.result_of(node)
            if known is not current:
                self.parameters.resultSegmentation = known
                self._result_id = known.GetID() if known is not None else None

    def _show_input(self) -> None:
        """Show the chosen CT, once, as soon as the module is open."""
        node = self.volume_node
        if self._is_entered and node is not None and node.GetID() != self._shown_id:
            self._shown_id = node.GetID()
            self.review.display.views.show_volume(node)

    def _result_changed(self) -> None:
        """Another result: its own CT is the chosen one from now on."""
        node = self.result_node
        node_id = node.GetID() if node is not None else None
        if node_id == self._result_id:
            return
        self._result_id = node_id
        own = self.result.volume_of(node)
        if own is not None and own is not self.volume_node:
            self.parameters.inputVolume = own
            self._check_volume()

    # What can be pressed ---------------------------------------------------------------------------------------------------------

    def why_not(self) -> str:
        """Return why Apply cannot be pressed now; "" if it can."""
        if self.runs.is_running:
            return _("A segmentation is running.")
        if self.level in ("none", "refused"):
            return self.sentence
        problem = self.models.problem()
        if problem:
            return problem
        if self.installation.missing:
            return _("Something is not installed yet: press Install at the top.")
        return ""

    def refresh(self, *_args: object) -> None:
        """Bring every widget in line with the state. Cheap unless the CT changed."""
        if self.parameters is None or self._refreshing:
            return
        self._refreshing = True
        try:
            self.choose_default_volume()
            self._check_volume()
            self._result_changed()
            self._input_changed()
            self._show_input()
            self.models.update()
            self.installation.update()
            self.result.update()
            self.review.update()
            self.compare.update()
            running, reason = self.runs.is_running, self.why_not()
            apply = self.ui.applyButton
            # Not disabled while it runs: the focus would wander off, and the panel would be scrolled after it.
            set_enabled(apply, running or not reason, self.ui.panelScrollArea)
            apply.toolTip = reason or _("Draw the organs.")
            again = self.review.table.rows  # not to be taken for Approve, which stands above it then
            apply.text = _("Running...") if running else _("Apply again") if again else _("Apply")
            self._show_message("" if running or reason == self.sentence else reason)
            self._show_names()
            set_enabled(self.ui.cancelButton, running, apply)
            can_all = not running and not self.models.problem() and not self.installation.missing
            set_enabled(self.ui.allVolumesButton, can_all, apply)
            for name in (
                "inputVolumeSelector",
                "resultSelector",
                "deviceComboBox",
                "loadDicomButton",
                "sampleDataButton",
                "hardenButton",
                "huOffsetSpinBox",
            ):
                set_enabled(getattr(self.ui, name), not running, apply)
        finally:
            self._refreshing = False

    def say(self, level: str, text: str, details: str = "", of_case: bool = False) -> None:
        """Set the line below Apply. ``details`` are a click away. ``of_case``: it is about the chosen CT, and goes when another one is chosen."""
        self._last_message, self._is_of_case = (level, text), of_case
        self._show_message()
        self.runs.set_details(text, details)

    def _show_message(self, reason: str = "") -> None:
        """Return why Apply cannot be pressed, unless the CT's own line says it already; else what happened last."""
        text = marked("warning", reason) if reason else marked(*self._last_message)
        self.ui.statusLabel.text = text
        self.ui.statusLabel.setVisible(bool(text))

    def _show_names(self) -> None:
        """A name that is too long for its box is read in the tool tip."""
        for widget, node, text in (
            (self.ui.inputVolumeSelector, self.volume_node, _("The head-and-neck CT to segment.")),
            (
                self.ui.resultSelector,
                self.result_node,
                _("The segmentation that gets the organs. Without one, a new one is made on Apply."),
            ),
        ):
            widget.toolTip = f"{node.GetName()}\n{text}" if node is not None else text

    # Loading ---------------------------------------------------------------------------------------------------------------------

    def onLoadDicom(self, *_: object) -> None:
        if hasattr(slicer.modules, "dicom"):
            slicer.util.selectModule("DICOM")
        else:
            slicer.util.openAddVolumeDialog()

    def onHarden(self, *_args: object) -> None:
        """Segment what the warped CT looks like: a copy of it with the warp in its voxels."""
        node = self.volume_node
        question = _(
            "A copy of {name} is made, with the transform applied to its voxels, and segmented in its place. {name} itself stays as it is."
        )
        if node is None or not slicer.util.confirmOkCancelDisplay(
            question.format(name=node.GetName()), _("Harden the transform?")
        ):
            return
        slicer.app.setOverrideCursor(qt.Qt.WaitCursor)
        try:
            self.parameters.inputVolume = hardened_copy(node)
        finally:
            slicer.app.restoreOverrideCursor()
        self.refresh()

    def onSampleData(self, *_args: object) -> None:
        from ..sample_data import load_phantom

        slicer.app.setOverrideCursor(qt.Qt.WaitCursor)
        try:
            node = load_phantom(self.scene)
        except FocusNetError as problem:
            self.say("error", str(problem))
            return
        finally:
            slicer.app.restoreOverrideCursor()
        if self.parameters is not None:
            self.parameters.inputVolume = node
        text = _("This is a synthetic phantom: nothing about a model's quality can be learned from it.")
        self.say("", text, of_case=True)
        self.refresh()
