"""Model and organs: which bundles there are, how good they are, and which of their organs are drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from focusnet.errors import FocusNetError

from ..messages import marked
from ..process.worker_protocol import explain_end
from .model_list import ModelEntry, list_models, organ_reason, organ_rows, remove_model, summary

if TYPE_CHECKING:
    from ..process.background import BackgroundCommand
    from .panel import Panel


class ModelSection:
    """The model's rows under Inputs."""

    def __init__(self, panel: Panel) -> None:
        self.panel, self.ui = panel, panel.ui
        self.entries: list[ModelEntry] = []
        self.message = ("", "")  # level and text of the last verification or installation
        self.command: BackgroundCommand | None = None
        self._shown: tuple[str, ...] | None = None
        self._organs_of: str | None = None
        self._updating = False
        ui = self.ui
        ui.modelComboBox.connect("currentIndexChanged(int)", self.onModelChanged)
        ui.organsListWidget.connect("itemChanged(QListWidgetItem*)", self.onOrgansChanged)
        ui.allOrgansButton.connect("clicked(bool)", lambda *_: self.tick_all(True))
        ui.noOrgansButton.connect("clicked(bool)", lambda *_: self.tick_all(False))
        ui.addModelButton.connect("clicked(bool)", self.onAdd)
        ui.verifyModelButton.connect("clicked(bool)", self.onVerify)
        ui.removeModelButton.connect("clicked(bool)", self.onRemove)
        self.reload()

    @property
    def entry(self) -> ModelEntry | None:
        """Return the chosen model, None if the scene names one that is not on this computer."""
        wanted = self.panel.parameters.model if self.panel.parameters is not None else ""
        if not wanted:
            return self.entries[0] if self.entries else None
        return next((e for e in self.entries if e.name == wanted), None)

    def problem(self) -> str:
        """Return why the choice cannot be run; "" if it can."""
        if not self.entries:
            return _("No model is installed. Add one from a file.")
        if self.entry is None:
            return _("The model {name} is not on this computer. Choose another, or add it.").format(
                name=self.panel.parameters.model
            )
        if self.entry.problem:
            return self.entry.problem
        if not self.ticked():
            return _("No organ is ticked.")
        return ""

    def ticked(self) -> list[str]:
        """Return the names of the organs to draw."""
        if self.entry is None:
            return []
        left_out = self._left_out()
        return [name for name in self.entry.organs if name not in left_out]

    def chosen_organs(self) -> list[str] | None:
        """Return the ticked organs as a run takes them: None for all."""
        ticked = self.ticked()
        return None if self.entry is not None and len(ticked) == len(self.entry.organs) else ticked

    def reload(self) -> None:
        """Look at the folders again."""
        self.entries = list_models()
        self._shown = None
        self.update()

    def update(self) -> None:
        """Show what the parameter node says."""
        if self._updating:
            return
        self._updating = True
        try:
            self._update_combo()
            self._update_organs()
            busy = self.command is not None or self.panel_runs
            ui = self.ui
            ui.modelComboBox.enabled = not self.panel_runs
            ui.organsListWidget.enabled = not self.panel_runs
            ui.addModelButton.enabled = not busy
            ui.verifyModelButton.enabled = not busy and self.entry is not None and not self.entry.parts  # one at a time
            own = self.entry is not None and not self.entry.is_shipped
            ui.removeModelButton.enabled = own and not busy
            if self.message[0] == "ok" and self.problem():  # what was fine then is not any more
                self.message = ("", "")
            level, text = self.message
            if not text and self.entry is not None:
                level = "refused" if self.entry.problem else "warning" if self.entry.caution else ""
                text = summary(self.entry)
            if not text and self.problem():
                level, text = "refused", self.problem()
            ui.modelInfoLabel.text = marked(level, text)
        finally:
            self._updating = False

    @property
    def panel_runs(self) -> bool:
        runs = getattr(self.panel, "runs", None)  # not there yet while the panel is made
        return bool(runs is not None and runs.is_running)

    def _update_combo(self) -> None:
        combo = self.ui.modelComboBox
        titles = tuple(e.title for e in self.entries)
        if self._shown != titles:
            self._shown = titles
            combo.clear()
            for title in titles:
                combo.addItem(title)
            self._organs_of = None
        combo.setCurrentIndex(self.entries.index(self.entry) if self.entry is not None else -1)

    def _update_organs(self) -> None:
        entry, listed = self.entry, self.ui.organsListWidget
        name = entry.name if entry is not None else ""
        if name != self._organs_of:
            self._organs_of = name
            listed.clear()
            for organ, title, score in organ_rows(entry) if entry is not None else []:
                item = qt.QListWidgetItem(f"{title}   {score}")
                item.setToolTip(
                    " ".join(filter(None, [organ, organ_reason(entry, organ) if entry is not None else ""]))
                )
                item.setData(qt.Qt.UserRole, organ)
                item.setCheckState(qt.Qt.Checked)
                listed.addItem(item)
        ticked = set(self.ticked())
        for index in range(listed.count):
            item = listed.item(index)
            state = qt.Qt.Checked if item.data(qt.Qt.UserRole) in ticked else qt.Qt.Unchecked
            if item.checkState() != state:
                item.setCheckState(state)
        total = len(entry.organs) if entry is not None else 0
        text = _("Organs: all {total}") if len(ticked) == total else _("Organs: {ticked} of {total}")
        self.ui.organsCollapsibleButton.text = text.format(ticked=len(ticked), total=total)

    def _left_out(self) -> set[str]:
        parameters = self.panel.parameters
        return {name for name in parameters.organsLeftOut.split(",") if name} if parameters is not None else set()

    def onModelChanged(self, index: int) -> None:
        if not self._updating and self.panel.parameters is not None and 0 <= index < len(self.entries):
            self.message = ("", "")
            self.panel.parameters.model = self.entries[index].name
            self.panel.refresh()

    def onOrgansChanged(self, *_: object) -> None:
        if self._updating or self.panel.parameters is None or self.entry is None:
            return
        listed = self.ui.organsListWidget
        items = [listed.item(i) for i in range(listed.count)]
        off = {item.data(qt.Qt.UserRole) for item in items if item.checkState() != qt.Qt.Checked}
        self._store(off)

    def tick_all(self, on: bool) -> None:
        if self.panel.parameters is not None and self.entry is not None:
            self._store(set() if on else set(self.entry.organs))

    def _store(self, off: set[str]) -> None:
        """Organs that other models know keep their choice."""
        others = self._left_out() - set(self.entry.organs if self.entry is not None else ())
        self.panel.parameters.organsLeftOut = ",".join(sorted(off | others))
        self.panel.refresh()

    # Add, verify, remove: a process of their own, because checking weights imports torch ------------------------------------------

    def onAdd(self, *_args: object) -> None:
        path = qt.QFileDialog.getOpenFileName(
            slicer.util.mainWindow(), _("Add a model bundle"), "", _("Model bundle (*.zip bundle.json)")
        )
        if path:
            self.add(path)

    def add(self, path: str, overwrite: bool = False) -> None:
        """Install a bundle; asks before it replaces one of the same name."""

        def ended(status: int, out: str, err: str) -> None:
            sentence = _sentence(status, out, err)
            if status == 2 and "--overwrite" in sentence and not overwrite:
                question = _("A model of this name is installed already. Replace it?")
                if slicer.util.confirmYesNoDisplay(question):
                    self.add(path, overwrite=True)
                return
            if status == 0:
                installed, *notes = [line for line in out.splitlines() if line.strip()] or [""]
                name = installed.partition("Installed ")[2].partition(" in ")[0]
                self.entries = list_models()
                if self.panel.parameters is not None and any(e.name == name for e in self.entries):
                    self.panel.parameters.model = name
                sentence = " ".join([_("The model {name} was added.").format(name=name), *notes])
            self.message = ("ok" if status == 0 else "refused", sentence)
            self.panel.refresh()

        self._run(
            ["models", "install", path, *(["--overwrite"] if overwrite else [])], ended, _("Checking the model...")
        )

    def onVerify(self, *_args: object) -> None:
        def ended(status: int, out: str, err: str) -> None:
            self.message = ("ok" if status == 0 else "refused", _sentence(status, out, err))
            self.panel.refresh()

        if self.entry is not None:
            self._run(["models", "verify", str(self.entry.folder)], ended, _("Checking the model..."))

    def onRemove(self, *_args: object) -> None:
        entry = self.entry
        if entry is None or not slicer.util.confirmYesNoDisplay(
            _("Delete the model {name} from this computer?").format(name=entry.name)
        ):
            return
        try:
            remove_model(entry)
            self.message = ("", "")
            self.panel.parameters.model = ""
        except FocusNetError as problem:
            self.message = ("refused", str(problem))
        self.reload()
        self.panel.refresh()

    def _run(self, arguments: list[str], ended: Callable[[int, str, str], object], text: str) -> None:
        from ..process.background import BackgroundCommand, focusnet_arguments

        if self.command is not None:
            return

        def end(status: int, out: str, err: str) -> None:
            self.command = None
            ended(status, out, err)

        self.message = ("", text)
        self.command = BackgroundCommand(end)
        try:
            self.command.start(*focusnet_arguments(*arguments))
        except FileNotFoundError as problem:
            end(127, "", str(problem))
        self.update()

    def close(self) -> None:
        if self.command is not None:
            self.command.stop()
            self.command = None


def _sentence(status: int, out: str, err: str) -> str:
    """Return what the command said in its last line, or why it could not."""
    lines = [line.strip() for line in (out if status == 0 else err).splitlines() if line.strip()]
    if lines and status in (0, 2):
        return lines[-1].removeprefix("focusnet: ").removeprefix("error: ")
    return explain_end(status, status < 0, err)
