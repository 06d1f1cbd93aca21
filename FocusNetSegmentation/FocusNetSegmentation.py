"""FocusNet Segmentation: the module that 3D Slicer loads. The work is done in FocusNetSegmentationLib and focusnet.

Slicer reads this file at every start, so nothing of ours is imported before it is used.
"""

from __future__ import annotations

import sys
import time
import unittest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

if TYPE_CHECKING:
    from collections.abc import Callable

    from FocusNetSegmentationLib.process.inference import BatchItem, BatchRun, SegmentationRun
    from FocusNetSegmentationLib.scene.nodes import SegmentationImport
    from FocusNetSegmentationLib.scene.types import ParameterNode, SegmentationNode, VolumeNode, Widget

OLDEST_PYTHON = (3, 10)
OUR_PACKAGES = ("FocusNetSegmentationLib", "focusnet")


def __getattr__(name: str) -> Any:
    """``from FocusNetSegmentation import FocusNetTrainingLogic`` in Slicer's Python console."""
    if name == "FocusNetTrainingLogic":
        from FocusNetSegmentationLib.process.training import FocusNetTrainingLogic

        return FocusNetTrainingLogic
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class FocusNetSegmentation(ScriptedLoadableModule):
    """Tell Slicer what to show in its module list and help."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("FocusNet Segmentation")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = ["Segmentations"]
        self.parent.contributors = ["FocusNet Segmentation contributors"]
        self.parent.helpText = _(
            "Contours organs at risk in head-and-neck CT with FocusNetv2. Choose a CT, press Apply, correct the organs in the editor "
            "below. Everything runs on this computer.<br><b>Research software, not a medical device. Every contour must be checked by a "
            "qualified person.</b>"
        )
        self.parent.acknowledgementText = _(
            "The method is FocusNetv2: Gao et al., FocusNetv2: Imbalanced large and small organ segmentation with adversarial shape "
            "constraint for head and neck CT images, Medical Image Analysis 67, 2021. Please cite it."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData() -> None:
    """Offer the synthetic phantom in the Sample Data module."""
    if sys.version_info >= OLDEST_PYTHON:
        from FocusNetSegmentationLib.sample_data import register_sample_data

        register_sample_data()


class FocusNetSegmentationWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel's frame: form, parameter node and scene events. ``panel.Panel`` does the rest."""

    def __init__(self, parent: Widget = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: Any = None  # FocusNetSegmentationLogic; None before setup
        self.panel: Any = None  # panel.Panel; None before setup and after cleanup
        self._form: Widget = None
        self._reloads = False
        self._parameterNode: ParameterNode | None = None
        self._guiTag: Any = None

    def setup(self) -> None:
        """Called when the module is opened for the first time, and after Reload."""
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = self._form = slicer.util.loadUI(self.resourcePath("UI/FocusNetSegmentation.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        if sys.version_info < OLDEST_PYTHON:
            self.ui.disclaimerLabel.text = _("This module needs 3D Slicer 5.10 or later (Python 3.10 or later).")
            self.ui.inputsCollapsibleButton.enabled = False
            return
        uiWidget.setMRMLScene(slicer.mrmlScene)
        from FocusNetSegmentationLib.panel.panel import Panel

        self.logic = FocusNetSegmentationLogic()
        self.panel = Panel(self.ui, self.logic)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndImport)
        self.addObserver(scene, scene.NodeAddedEvent, self.onSceneChanged)
        self.addObserver(scene, scene.NodeRemovedEvent, self.onSceneChanged)
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """Called when Slicer closes and before Reload."""
        self.setParameterNode(None)
        if self.panel is not None:
            self.panel.close()
            self.panel = None
        self.removeObservers()
        if self._reloads and self._form is not None:
            # Reload hides the old form and no more: it would stay beside the new one, and hold on to all that its buttons call.
            self._form.setParent(None)
            self._form.deleteLater()
            self._form = None

    def enter(self) -> None:
        """Called each time the module is opened."""
        if self.panel is not None:
            self.initializeParameterNode()
            self.panel.enter()

    def exit(self) -> None:
        """Called each time another module is opened. A run goes on."""
        if self.panel is not None:
            self.disconnectGui()
            self.panel.exit()

    def onSceneStartClose(self, caller: object, event: object) -> None:
        self.panel.scene_closing()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller: object, event: object) -> None:
        self.panel.scene_came()
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneEndImport(self, caller: object, event: object) -> None:
        """Show the parameter node again: it may have come before the nodes that it names."""
        from FocusNetSegmentationLib.scene.helper_nodes import hide_helpers

        hide_helpers(slicer.mrmlScene)
        self.panel.scene_came()
        if self.parent.isEntered:
            self.initializeParameterNode()
        self.panel.scene_changed()

    def onSceneChanged(self, caller: object, event: object) -> None:
        self.panel.scene_changed()

    def onParameterNodeModified(self, caller: object = None, event: object = None) -> None:
        self.panel.refresh()

    def initializeParameterNode(self) -> None:
        """Show the scene's parameter node, made if it is not there."""
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, parameterNode: ParameterNode | None) -> None:
        """Show ``parameterNode`` from now on; None lets go of the one that is shown."""
        self.disconnectGui()
        self._parameterNode = parameterNode
        if parameterNode is not None:
            # Not connectGui: in several versions it does not return the tag that disconnectGui needs.
            widgets = {name: w for w in vars(self.ui).values() if (name := w.property("SlicerParameterName"))}
            self._guiTag = parameterNode.connectParametersToGui(widgets)
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
        if self.panel is not None:
            self.panel.set_parameters(parameterNode)

    def disconnectGui(self) -> None:
        if self._parameterNode is not None and self._guiTag is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
        self._guiTag = None

    def onReload(self) -> None:
        """Reload our packages too: Slicer reads only this file again."""
        self._reloads = True
        for name in [n for n in sys.modules if n.partition(".")[0] in OUR_PACKAGES]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)


class FocusNetSegmentationLogic(ScriptedLoadableModuleLogic):
    """Everything that the panel can do, for scripts and the Python console; needs no main window."""

    def getParameterNode(self) -> ParameterNode:
        from FocusNetSegmentationLib.parameters import FocusNetSegmentationParameterNode

        wrap: Any = (
            FocusNetSegmentationParameterNode  # Slicer's decorator gives it a constructor that no type checker sees
        )
        return wrap(super().getParameterNode())

    def process(
        self, volumeNode: VolumeNode, segmentationNode: SegmentationNode | None = None, **options: Any
    ) -> SegmentationImport | SegmentationRun:
        """Contour a CT: ``process(volumeNode, segmentationNode, model="han7-openkbp", device="auto", organs=None, wait=True)``.

        Waits and returns the result (``.node``, ``.missing``, ``.warnings``), or with ``wait=False`` returns the run at once. Raises
        InputError or SegmentationError with one line. See FocusNetSegmentationLib.process.inference.process.
        """
        from FocusNetSegmentationLib.process.inference import process

        return process(volumeNode, segmentationNode, **options)

    def processScene(self, **options: Any) -> list[BatchItem] | BatchRun:
        """Contour every CT of the scene, one after the other; see FocusNetSegmentationLib.process.inference.process_scene."""
        from FocusNetSegmentationLib.process.inference import process_scene

        return process_scene(slicer.mrmlScene, **options)

    def export(
        self,
        segmentationNode: SegmentationNode,
        volumeNode: VolumeNode,
        path: Path | str | None,
        kind: str = "seg.nrrd",
        dicomFolder: Path | str | None = None,
        notLocalized: str = "leave-out",
        orientationOverride: bool = False,
    ) -> tuple[Path | VolumeNode, list[str]]:
        """Write a segmentation: kind "seg.nrrd", "nifti", "labelmap", "rtstruct" or "dicom-seg". Returns (path or node, sentences).

        ``notLocalized``: "leave-out" or "mark", what DICOM gets of organs that were drawn without being localized. ``orientationOverride``:
        write contours even where the CT's header seems to have directions wrong, such as front and back reversed.
        """
        from FocusNetSegmentationLib.exchange.export import export

        return export(segmentationNode, volumeNode, path, kind, dicomFolder, notLocalized, orientationOverride)

    def collect(
        self, segmentationNode: SegmentationNode, volumeNode: VolumeNode, into: Path | str, **options: Any
    ) -> dict[str, Any]:
        """Add the approved organs to the training set in ``into`` and wait: ``collect(node, ct, "/data/corrected", consent=True)``.

        Returns case, patient (a pseudonym), split, organs and text. ``consent``: copies of scans may be kept there, needed once for a new
        folder; ``same_patient``: "replace" or "keep-both". See FocusNetSegmentationLib.exchange.collect.collect.
        """
        from FocusNetSegmentationLib.exchange.collect import collect

        return collect(segmentationNode, volumeNode, into, **options)

    def samplePhantom(self) -> VolumeNode:
        """Add the synthetic phantom to the scene and return its volume node."""
        from FocusNetSegmentationLib.sample_data import load_phantom

        return load_phantom(slicer.mrmlScene)


class FocusNetSegmentationTest(ScriptedLoadableModuleTest):
    """Runs inside Slicer: ctest, or Reload and Test in developer mode."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        for name in (
            "test_phantom_is_a_usable_ct",
            "test_export_and_read_back",
            "test_panel",
            "test_review",
            "test_segmentation",
        ):
            self.setUp()
            try:
                getattr(self, name)()
            except unittest.SkipTest as reason:
                self.delayDisplay(_("{name}: skipped, {reason}").format(name=name, reason=reason))

    def _phantom(self) -> VolumeNode:
        from FocusNetSegmentationLib.sample_data import load_phantom

        return load_phantom(slicer.mrmlScene, spacing_mm_xyz=(3.0, 3.0, 3.0))

    def _reference(self, volumeNode: VolumeNode) -> SegmentationImport:
        """The phantom's reference contours as a result in the scene."""
        from focusnet.phantom.write import phantom
        from FocusNetSegmentationLib.scene.nodes import import_result

        return import_result(slicer.mrmlScene, phantom(spacing_mm_xyz=(3.0, 3.0, 3.0))[1], volumeNode)

    def test_phantom_is_a_usable_ct(self) -> None:
        from FocusNetSegmentationLib.scene.nodes import volume_summary

        level, sentence = volume_summary(self._phantom())
        self.assertNotEqual(level, "refused", sentence)

    def test_export_and_read_back(self) -> None:
        volumeNode = self._phantom()
        imported = self._reference(volumeNode)
        folder = Path(slicer.util.tempDirectory())
        path, _notes = FocusNetSegmentationLogic().export(imported.node, volumeNode, folder / "organs.seg.nrrd")
        again = slicer.util.loadSegmentation(str(path))
        self.assertEqual(again.GetSegmentation().GetNumberOfSegments(), 22)

    def test_panel(self) -> None:
        """Go the whole way by the panel's own buttons, without a run."""
        if slicer.util.mainWindow() is None:
            self.skipTest("needs the main window")
        slicer.util.selectModule("FocusNetSegmentation")
        widget = slicer.util.getModuleWidget("FocusNetSegmentation")
        volumeNode = self._phantom()
        slicer.app.processEvents()
        widget.panel.refresh()
        self.assertIs(widget.panel.volume_node, volumeNode)
        widget.panel.parameters.resultSegmentation = self._reference(volumeNode).node
        widget.panel.refresh()
        self.assertTrue(widget.ui.exportButton.enabled)
        self.assertLessEqual(widget.ui.inputsCollapsibleButton.minimumSizeHint.width(), 420)

    def test_review(self) -> None:
        """Use the list by the panel's own buttons: an organ is chosen, shown, approved; a change takes that back; the window comes back."""
        if slicer.util.mainWindow() is None:
            self.skipTest("needs the main window")
        from FocusNetSegmentationLib.scene.labelmaps import voxels

        slicer.util.selectModule("FocusNetSegmentation")
        panel = slicer.util.getModuleWidget("FocusNetSegmentation").panel
        volumeNode = self._phantom()
        panel.parameters.inputVolume = volumeNode
        panel.parameters.resultSegmentation = self._reference(volumeNode).node
        panel.refresh()
        display = volumeNode.GetDisplayNode()
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(1500, 300)
        panel.ui.reviewNextButton.click()
        organ = panel.review.current
        self.assertIsNotNone(organ)
        self.assertNotEqual(display.GetWindow(), 1500)
        segment_id = panel.review.review.segments()[organ]
        self.assertEqual(panel.result.editor.currentSegmentID(), segment_id)
        self.assertFalse(panel.review.review.is_seen(organ), "not drawn yet")
        self._wait_until(lambda: panel.review.review.is_seen(organ))
        panel.ui.reviewApproveButton.click()
        self.assertEqual(panel.review.review.states()[organ], "approved")
        segment = panel.result_node.GetSegmentation().GetSegment(segment_id)
        image = segment.GetRepresentation("Binary labelmap")
        array = voxels(image)
        array[tuple(axis[0] for axis in (array == segment.GetLabelValue()).nonzero())] = 0
        image.Modified()
        self.assertEqual(panel.review.review.states()[organ], "edited")
        panel.ui.reviewEndButton.click()
        self.assertEqual(display.GetWindow(), 1500)

    def _wait_until(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        """Let Slicer's window live until ``condition`` holds."""
        end = time.monotonic() + seconds
        while not condition():
            slicer.app.processEvents()
            self.assertLess(time.monotonic(), end, "never happened")

    def test_segmentation(self) -> None:
        """Run the shipped model over the phantom, in the worker process."""
        from FocusNetSegmentationLib.install.preflight import probe_torch

        if probe_torch().version is None:
            self.skipTest("PyTorch is not installed")
        imported: Any = FocusNetSegmentationLogic().process(self._phantom(), device="cpu")
        self.assertEqual(len(imported.segment_ids), 7)
        self.assertIsNotNone(imported.frozen)
