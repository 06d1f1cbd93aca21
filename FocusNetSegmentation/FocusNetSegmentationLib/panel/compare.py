"""Compare: the segmentation against a reference of the scene or from a file, as a table per organ."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from focusnet.errors import FocusNetError
from focusnet.io.suffixes import DICOM, SEGMENTATIONS

from ..messages import marked
from ..scene.types import Widget

if TYPE_CHECKING:
    from focusnet.evaluation.evaluate import OrganScores

    from ..exchange.compare import Comparison
    from ..scene.types import SegmentationNode
    from .panel import Panel

ROW_PIXELS = 22


class CompareSection:
    """The collapsible section Compare. ``comparison``: what the table shows, None before the first one."""

    def __init__(self, panel: Panel) -> None:
        self.panel, self.ui = panel, panel.ui
        self.comparison: Comparison | None = None
        self._of: tuple[SegmentationNode | None, SegmentationNode | None] = (
            None,
            None,
        )  # segmentation and reference of the comparison
        self._last_message = ("", "")
        self._prepare(self.ui.compareTable)
        for name, slot in (
            ("compareFileButton", self.onFile),
            ("compareButton", self.onCompare),
            ("compareCopyButton", self.onCopy),
            ("compareSaveButton", self.onSave),
        ):
            getattr(self.ui, name).connect("clicked(bool)", slot)
        self.ui.referenceSelector.connect("currentNodeChanged(vtkMRMLNode*)", lambda *_: self.update())

    @staticmethod
    def _prepare(table: Widget) -> None:
        table.setColumnCount(6)
        table.setHorizontalHeaderLabels([_("Organ"), _("DSC"), _("HD95"), _("MSD"), _("ml"), _("ref. ml")])
        header = table.horizontalHeader()
        header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
        for column in range(1, 6):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        header.setHighlightSections(False)
        table.verticalHeader().setVisible(False)
        table.verticalHeader().setDefaultSectionSize(ROW_PIXELS)

    @property
    def reference(self) -> SegmentationNode | None:
        return self.ui.referenceSelector.currentNode()

    def update(self) -> None:
        """Bring buttons and table in line with the chosen segmentation and reference; clear a table that is about others."""
        node = self.panel.result_node
        if self.comparison is not None and self._of != (node, self.reference):
            self.clear()
        self.ui.compareButton.enabled = node is not None and self.reference is not None and node is not self.reference
        has_rows = self.comparison is not None
        for name in ("compareTable", "compareCopyButton", "compareSaveButton"):
            getattr(self.ui, name).setVisible(has_rows)
        self.ui.compareStatusLabel.text = (
            marked(*self._last_message) if self._last_message[1] else self._what_to_do(node)
        )

    def clear(self) -> None:
        self.comparison, self._of, self._last_message = None, (None, None), ("", "")
        self.ui.compareTable.setRowCount(0)

    def _what_to_do(self, node: SegmentationNode | None) -> str:
        if node is None:
            return _("Apply first, or choose a segmentation under Outputs.")
        if self.reference is node:
            return marked("warning", _("This is the segmentation itself. Choose another one as the reference."))
        if self.reference is None:
            return _(
                "Choose the reference: a segmentation of the scene (an RTSTRUCT that was loaded is one), or a file."
            )
        return ""

    # Comparing -----------------------------------------------------------------------------------------------------------------------

    def onCompare(self, *_args: object) -> None:
        node, reference = self.panel.result_node, self.reference
        self.clear()
        slicer.app.setOverrideCursor(qt.Qt.WaitCursor)
        try:
            from ..exchange.compare import compare

            self.comparison = compare(node, reference, self.panel.result.volume_of(node) or self.panel.volume_node)
        except (FocusNetError, ImportError) as problem:
            self._last_message = ("error", str(problem))
        else:
            self._of = (node, reference)
            rows = self.comparison.rows
            scored = [row.dsc for row in rows if not math.isnan(row.dsc)]
            mean = sum(scored) / len(scored) if scored else math.nan
            first = _("{count} organs compared at {time}, mean DSC {mean:.3f}. Distances in mm.").format(
                count=len(rows), time=time.strftime("%H:%M"), mean=mean
            )
            level = "warning" if self.comparison.notes else "ok"
            self._last_message = (level, "\n".join([first, *self.comparison.sentences()]))
            self._fill(rows)
        finally:
            slicer.app.restoreOverrideCursor()
        self.update()

    def _fill(self, rows: Sequence[OrganScores]) -> None:
        table = self.ui.compareTable
        table.setRowCount(len(rows))
        for number, row in enumerate(rows):
            for column, text in enumerate(cells(row)):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(tool_tip(row))
                if column:
                    item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
                table.setItem(number, column, item)

    # The reference from a file -------------------------------------------------------------------------------------------------------

    def onFile(self, *_args: object) -> None:
        path = qt.QFileDialog.getOpenFileName(
            slicer.util.mainWindow(), _("Open the reference"), str(Path.home()), self._pattern()
        )
        if not path:
            return
        volume = self.panel.result.volume_of(self.panel.result_node) or self.panel.volume_node
        try:
            from ..exchange.compare import add_reference, needs_dicom, read_reference
            from ..exchange.export import dicom_volume

            folder = None
            if needs_dicom(path):
                try:
                    dicom_volume(volume)
                except FocusNetError:
                    folder = self.panel.result.ask_for_dicom_folder()
                    if not folder:
                        return
            slicer.app.setOverrideCursor(qt.Qt.WaitCursor)
            try:
                segmentation = read_reference(path, volume, folder)
                node = add_reference(self.panel.scene, segmentation, volume, Path(path).name.partition(".")[0])
            finally:
                slicer.app.restoreOverrideCursor()
        except (FocusNetError, ImportError, OSError) as problem:
            slicer.util.errorDisplay(str(problem), windowTitle=_("Compare"))
            return
        self.ui.referenceSelector.setCurrentNode(node)
        self.update()
        if self.ui.compareButton.enabled:
            self.onCompare()

    def _pattern(self) -> str:
        return _("Segmentations") + f" ({' '.join(f'*{ending}' for ending in (*SEGMENTATIONS, DICOM[0]))})"

    # Taking it away ------------------------------------------------------------------------------------------------------------------

    def onCopy(self, *_args: object) -> None:
        from ..exchange.compare import as_text

        if self.comparison is not None:
            slicer.app.clipboard().setText(as_text(self.comparison.rows))

    def onSave(self, *_args: object) -> None:
        if self.comparison is None:
            return
        path = qt.QFileDialog.getSaveFileName(
            slicer.util.mainWindow(), _("Save the table"), str(Path.home() / "comparison.csv"), _("Table") + " (*.csv)"
        )
        if not path:
            return
        path = path if path.lower().endswith(".csv") else path + ".csv"
        try:
            from focusnet.evaluation.score_table import write_csv

            write_csv(self.comparison.rows, Path(path))
        except (FocusNetError, OSError) as problem:
            slicer.util.errorDisplay(str(problem), windowTitle=_("Compare"))
            return
        self.panel.say("ok", _("Wrote {name}.").format(name=Path(path).name))


def cells(row: OrganScores) -> tuple[str, ...]:
    """Return the six cells of one organ; a distance that does not exist is a dash."""
    distances = (row.hd95_average_mm, row.mean_surface_distance_mm)
    return (
        row.organ,
        _("n/a") if math.isnan(row.dsc) else f"{row.dsc:.3f}",
        *(f"{d:.2f}" if math.isfinite(d) else "-" for d in distances),
        f"{row.volume_predicted_ml:.2f}",
        f"{row.volume_reference_ml:.2f}",
    )


def tool_tip(row: OrganScores) -> str:
    """Return the scores that have no column, or why there are none."""
    if not row.volume_reference_ml and not row.volume_predicted_ml:
        return _("{organ}: empty in both.").format(organ=row.organ)
    if not row.volume_predicted_ml or not row.volume_reference_ml:
        where = _("segmentation") if not row.volume_predicted_ml else _("reference")
        return _("{organ}: empty in the {where}, so there is no distance.").format(organ=row.organ, where=where)
    return _(
        "{organ}: HD95 {average:.2f} mm (larger direction {maximum:.2f} mm), surface DSC at 2 mm {surface:.3f}"
    ).format(organ=row.organ, average=row.hd95_average_mm, maximum=row.hd95_maximum_mm, surface=row.surface_dsc)
