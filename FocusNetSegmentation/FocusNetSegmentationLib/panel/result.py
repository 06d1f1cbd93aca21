"""The result: which one belongs to which CT, shown in 3D and in the embedded Segment Editor, exported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from focusnet.errors import FocusNetError, InputError

from ..messages import marked
from ..scene.nodes import make_closed_surfaces, provenance_of, remove_orphans
from ..scene.orientation_doubt import doubt_text_of
from ..scene.run_tags import caution_text
from ..scene.types import SegmentationNode, VolumeNode
from .editor import Editor
from .widgets import remember, remembered

if TYPE_CHECKING:
    from ..scene.types import Widget
    from .panel import Panel

EXPORT_FOLDER = "ExportFolder"  # in Slicer's settings


class ResultSection:
    """Outputs, Correct and Export."""

    def __init__(self, panel: Panel) -> None:
        self.panel, self.ui = panel, panel.ui
        self.editing = Editor(panel, self._segment_chosen, self._effect_changed)
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

    def ct_of(self, segmentation_node: SegmentationNode | None) -> VolumeNode | None:
        """Return the CT over which a segmentation is looked at: its own, or the chosen one where it names none. None where its own is gone: over
        another patient's CT it must not be looked at."""
        if segmentation_node is None:
            return None
        own = self.volume_of(segmentation_node)
        if own is not None or provenance_of(
            segmentation_node
        ):  # a run names its CT; if it is gone, the reference is too
            return own
        return self.panel.volume_node

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
        doubt = doubt_text_of(node)
        self.ui.orientationLabel.text = marked("warning", doubt) if doubt else ""
        self.ui.orientationLabel.setVisible(bool(doubt))
        caution = caution_text(node)
        self.ui.cautionLabel.text = marked("warning", caution) if caution else ""
        self.ui.cautionLabel.setVisible(bool(caution))
        if self.ui.show3DButton.segmentationNode() is not node:
            self.ui.show3DButton.setSegmentationNode(node)
        self.editing.show(node, self.ct_of(node))

    def show_new(self, node: SegmentationNode) -> None:
        """Show the organs of a run that has ended over their CT, ready to be corrected."""
        self.editing.forget()
        self.update()
        self.panel.review.display.views.show_volume(self.volume_of(node))
        if self.panel.parameters is not None and self.panel.parameters.show3D:
            make_closed_surfaces(node)

    # The embedded Segment Editor -------------------------------------------------------------------------------------------------

    @property
    def editor(self) -> Widget:
        """Return the Segment Editor's widget, None before there is something to edit."""
        return self.editing.widget

    def _segment_chosen(self, segment_id: str) -> None:
        self.panel.review.chosen_in_editor(segment_id)

    def _effect_changed(self) -> None:
        self.panel.review.keys.update()

    def enter(self) -> None:
        self.editing.enter()

    def exit(self) -> None:
        self.editing.exit()

    def scene_closing(self) -> None:
        self.ui.show3DButton.setSegmentationNode(None)
        self.editing.scene_closing()

    def scene_came(self) -> None:
        """A scene was closed or loaded: nothing of what was set before holds."""
        self.editing.scene_came()

    def close(self) -> None:
        self.editing.close()

    # Export ----------------------------------------------------------------------------------------------------------------------

    def onExport(self, *_args: object) -> None:
        from ..exchange.export import FORMATS

        kind = self.formats[self.ui.exportFormatComboBox.currentIndex]
        node = self.panel.result_node
        volume = self.ct_of(node)
        if not self._orientation_is_accepted(node):
            return
        try:
            folder = self._dicom_folder(kind, volume)
            if folder == "":
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

    def export_rtstruct(self) -> None:
        """Write an RTSTRUCT into the folder that was used last; the first time, and where it has gone, the folder is asked for."""
        node = self.panel.result_node
        if node is None or not self._orientation_is_accepted(node):
            return
        volume = self.ct_of(node)
        into = remembered(EXPORT_FOLDER)
        try:
            folder = self._dicom_folder("rtstruct", volume)
            if folder == "":
                return
            if not into or not Path(into).is_dir():
                into = str(
                    qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder for RTSTRUCT files")) or ""
                )
                if not into:
                    return
            path = unused(Path(into) / f"{file_name(node.GetName())}.dcm")
            _written, notes = self._export(node, volume, str(path), "rtstruct", folder)
        except (FocusNetError, ImportError, OSError) as problem:
            slicer.util.errorDisplay(str(problem), windowTitle=_("Export"))
            self.panel.say("error", str(problem))
            return
        remember(EXPORT_FOLDER, into)
        text = _("Exported {name} into {folder}.").format(name=path.name, folder=into)
        self.panel.say("warning" if notes else "ok", " ".join([text, *notes]))

    def _orientation_is_accepted(self, node: SegmentationNode | None) -> bool:
        """Ask before contours leave whose CT seems to be turned; without such a doubt nothing is asked."""
        doubt = doubt_text_of(node)
        if not doubt:
            return True
        text = _("{doubt} The contours are then in the wrong places. Export them all the same?").format(doubt=doubt)
        accepted = bool(slicer.util.confirmOkCancelDisplay(text, _("Export")))
        if not accepted:
            self.panel.say("warning", _("Nothing was exported. {doubt}").format(doubt=doubt))
        return accepted

    def _dicom_folder(self, kind: str, volume: VolumeNode | None) -> str | None:
        """Return the folder of the CT's DICOM files, None where it is not needed, "" where a person would not name it."""
        from ..exchange.export import dicom_volume

        if kind not in ("rtstruct", "dicom-seg"):
            return None
        if volume is None:
            raise InputError("The CT of this segmentation is not in the scene. Choose it under Inputs.")
        try:
            dicom_volume(volume)
        except FocusNetError:
            return self.ask_for_dicom_folder()
        return None

    def _export(
        self, node: SegmentationNode, volume: VolumeNode, path: str | None, kind: str, folder: str | None
    ) -> tuple[Path | VolumeNode, list[str]]:
        slicer.app.setOverrideCursor(qt.Qt.WaitCursor)
        try:
            return self.panel.logic.export(node, volume, path, kind, folder, orientationOverride=True)  # asked before
        finally:
            slicer.app.restoreOverrideCursor()

    def _ask_for_path(self, node: SegmentationNode, title: str, ending: str) -> str:
        name = file_name(node.GetName())
        path = qt.QFileDialog.getSaveFileName(
            slicer.util.mainWindow(),
            _("Export the segmentation"),
            str(Path(remembered(EXPORT_FOLDER) or Path.home()) / (name + ending)),
            f"{title[: title.rfind('(')]}(*{ending})",
        )
        return path if not path or path.lower().endswith(ending) else path + ending

    def ask_for_dicom_folder(self) -> str:
        return str(
            qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder of this CT's DICOM files")) or ""
        )


def file_name(name: str) -> str:
    """Return a node's name as a file can have it on every system."""
    return "".join(c if c.isalnum() or c in "-_. " else "_" for c in name)


def unused(path: Path) -> Path:
    """Return ``path``, or the first of "name 2", "name 3"... that is no file yet: an export never replaces another one unasked."""
    number, found = 2, path
    while found.exists():
        found = path.with_name(f"{path.stem} {number}{path.suffix}")
        number += 1
    return found
