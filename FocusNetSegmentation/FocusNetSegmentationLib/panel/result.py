"""The result: shown in 3D, corrected in the embedded Segment Editor, exported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from focusnet.errors import FocusNetError

from ..scene.nodes import make_closed_surfaces, provenance_of, remove_orphans
from ..scene.types import SegmentationNode, VolumeNode

if TYPE_CHECKING:
    from ..scene.types import Widget
    from .panel import Panel

EDITOR_TAG = "FocusNetSegmentation"


class ResultSection:
    """Outputs, Correct and Export."""

    def __init__(self, panel: Panel) -> None:
        self.panel, self.ui = panel, panel.ui
        self.editor: Widget = None  # made when there is something to edit
        self._entered = False
        self._shown: tuple[SegmentationNode | None, VolumeNode | None] = (None, None)
        from ..exchange.export import FORMATS

        self.formats = list(FORMATS)
        for kind in self.formats:
            self.ui.exportFormatComboBox.addItem(FORMATS[kind][0])
        self.ui.exportButton.connect("clicked(bool)", self.onExport)

    # Which segmentation belongs to which CT --------------------------------------------------------------------------------------

    def volume_of(self, segmentation_node: SegmentationNode | None) -> VolumeNode | None:
        """Return the CT that a segmentation was made on, None if it is not known."""
        if segmentation_node is None:
            return None
        return segmentation_node.GetNodeReference(segmentation_node.GetReferenceImageGeometryReferenceRole())

    def result_of(self, volume_node: VolumeNode | None) -> SegmentationNode | None:
        """Return the newest result of a CT in the scene, None if there is none."""
        scene, found = self.panel.scene, None
        for index in range(scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")):
            node = scene.GetNthNodeByClass(index, "vtkMRMLSegmentationNode")
            if (
                volume_node is not None
                and not node.GetHideFromEditors()
                and self.volume_of(node) is volume_node
                and provenance_of(node)
            ):
                found = node
        return found

    # Showing ---------------------------------------------------------------------------------------------------------------------

    def update(self) -> None:
        if not self.panel.scene.IsBatchProcessing():
            remove_orphans(self.panel.scene)  # of a result that was deleted
        node = self.panel.result_node
        has_segments = node is not None and node.GetSegmentation().GetNumberOfSegments() > 0
        self.ui.exportButton.enabled = has_segments and not self.panel.runs.is_running
        self.ui.exportButton.toolTip = (
            _("Write the segmentation above to a file.")
            if has_segments
            else _("Apply first, or choose a segmentation.")
        )
        volume = self.volume_of(node) or self.panel.volume_node
        if (node, volume) == self._shown:
            return
        self._shown = (node, volume)
        self.ui.show3DButton.setSegmentationNode(node)
        if node is not None and self.editor is None:
            self._make_editor()
        if self.editor is not None:
            self.editor.setSegmentationNode(node)
            self.editor.setSourceVolumeNode(volume if node is not None else None)

    def show_new(self, node: SegmentationNode) -> None:
        """Show the organs of a run that has ended over their CT, ready to be corrected."""
        self._shown = (None, None)
        self.update()
        self.ui.editCollapsibleButton.collapsed = False
        volume = self.volume_of(node)
        if volume is not None:
            slicer.util.setSliceViewerLayers(background=volume)
        if self.panel.parameters is not None and self.panel.parameters.show3D:
            make_closed_surfaces(node)

    # The embedded Segment Editor -------------------------------------------------------------------------------------------------

    def _make_editor(self) -> None:
        """Made when there is something to edit: it is the panel's most expensive part."""
        if not hasattr(slicer, "qMRMLSegmentEditorWidget"):
            self.ui.editHintLabel.text = _("This Slicer has no Segment Editor.")
            return
        self.editor = slicer.qMRMLSegmentEditorWidget()
        self.editor.setMaximumNumberOfUndoStates(10)
        self.editor.setSegmentationNodeSelectorVisible(False)
        self.editor.setSourceVolumeNodeSelectorVisible(False)
        self.editor.setSwitchToSegmentationsButtonVisible(False)
        self._set_editor_node()
        self.editor.setMRMLScene(self.panel.scene)
        self.ui.editCollapsibleButton.layout().addWidget(self.editor)
        self.ui.editHintLabel.hide()
        if self._entered:
            self._observe_views()

    def _set_editor_node(self) -> None:
        """A node of our own: Slicer's Segment Editor module keeps its state to itself."""
        scene = self.panel.scene
        node = scene.GetSingletonNode(EDITOR_TAG, "vtkMRMLSegmentEditorNode")
        if node is None:
            node = scene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
            node.UnRegister(None)
            node.SetSingletonTag(EDITOR_TAG)
            node = scene.AddNode(node)
        self.editor.setMRMLSegmentEditorNode(node)

    def _observe_views(self) -> None:
        self.editor.setupViewObservations()
        self.editor.installKeyboardShortcuts()

    def enter(self) -> None:
        self._entered = True
        if self.editor is not None:
            self._set_editor_node()
            self._observe_views()
            self._shown = (None, None)

    def exit(self) -> None:
        self._entered = False
        if self.editor is not None:
            self.editor.setActiveEffect(None)
            self.editor.uninstallKeyboardShortcuts()
            self.editor.removeViewObservations()

    def scene_closing(self) -> None:
        self._shown = (None, None)
        self.ui.show3DButton.setSegmentationNode(None)
        if self.editor is not None:
            self.editor.setActiveEffect(None)
            self.editor.setSegmentationNode(None)
            self.editor.setSourceVolumeNode(None)
            self.editor.removeViewObservations()

    def scene_closed(self) -> None:
        """Give the editor a node again: the old one went with the scene."""
        if self.editor is not None:
            self._set_editor_node()
            if self._entered:
                self.editor.setupViewObservations()

    def close(self) -> None:
        if self.editor is not None:
            self.exit()
            self.editor.setSegmentationNode(None)
            self.editor.setMRMLSegmentEditorNode(None)
            self.editor = None

    # Export ----------------------------------------------------------------------------------------------------------------------

    def onExport(self, *_args: object) -> None:
        from ..exchange.export import FORMATS, dicom_volume

        kind = self.formats[self.ui.exportFormatComboBox.currentIndex]
        node = self.panel.result_node
        volume = self.volume_of(node) or self.panel.volume_node
        folder = None
        try:
            if kind in ("rtstruct", "dicom-seg"):
                try:
                    dicom_volume(volume)
                except FocusNetError:
                    folder = self.ask_for_dicom_folder()
                    if not folder:
                        return
            title, ending = FORMATS[kind]
            path = self._ask_for_path(node, title, ending) if ending else ""
            if ending and not path:
                return
            written, notes = self._export(node, volume, path or None, kind, folder)
        except (FocusNetError, ImportError, OSError) as problem:
            slicer.util.errorDisplay(str(problem), windowTitle=_("Export"))
            self.panel.say("error", str(problem))
            return
        name = written.GetName() if hasattr(written, "GetName") else Path(written).name
        self.panel.say("warning" if notes else "ok", " ".join([_("Exported {name}.").format(name=name), *notes]))

    def _export(
        self, node: SegmentationNode, volume: VolumeNode, path: str | None, kind: str, folder: str | None
    ) -> tuple[Path | VolumeNode, list[str]]:
        slicer.app.setOverrideCursor(qt.Qt.WaitCursor)
        try:
            return self.panel.logic.export(node, volume, path, kind, folder)
        finally:
            slicer.app.restoreOverrideCursor()

    def _ask_for_path(self, node: SegmentationNode, title: str, ending: str) -> str:
        name = "".join(c if c.isalnum() or c in "-_. " else "_" for c in node.GetName())
        path = qt.QFileDialog.getSaveFileName(
            slicer.util.mainWindow(),
            _("Export the segmentation"),
            str(Path.home() / (name + ending)),
            f"{title[: title.rfind('(')]}(*{ending})",
        )
        return path if not path or path.lower().endswith(ending) else path + ending

    def ask_for_dicom_folder(self) -> str:
        return str(
            qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder of this CT's DICOM files")) or ""
        )
