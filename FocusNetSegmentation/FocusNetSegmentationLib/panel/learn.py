"""It learns from corrections: the approved organs into a training set, and a fine-tuning on it in the background."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import qt
import slicer
from slicer.i18n import tr as _

from focusnet.errors import FocusNetError

from ..process.steps import make_timer
from ..review.rows import Row
from ..scene.review_tags import APPROVED
from .widgets import choose, remember, remembered, set_enabled, timer

if TYPE_CHECKING:
    from ..exchange.collect import CollectEnd, Collecting
    from ..process.training import TrainingProgress
    from .review import ReviewSection

TRAINING_SET, FINE_TUNING = (
    "TrainingSet",
    "FineTuning",
)  # in Slicer's settings: the set's folder, the folder of the last run
LOOK_MS = 5000  # between two looks at a fine-tuning


class LearnTools:
    """``section``: the ReviewSection."""

    def __init__(self, section: ReviewSection) -> None:
        self.section, self.ui = section, section.ui
        self.collecting: Collecting | None = None
        self._look = timer(LOOK_MS, self._fine_tuning_goes_on)
        self.ui.collectButton.connect("clicked(bool)", lambda *_: self.collect())
        self.ui.trainingSetButton.connect("clicked(bool)", lambda *_: self.choose_folder())
        self.ui.finetuneButton.connect("clicked(bool)", lambda *_: self.fine_tune())

    @property
    def folder(self) -> str:
        """Return the folder of the training set, "" before one was chosen."""
        return remembered(TRAINING_SET)

    @property
    def is_collecting(self) -> bool:
        return self.collecting is not None and self.collecting.is_running

    def update(self, rows: Sequence[Row]) -> None:
        """Enable what can be pressed; tool tips name the organs and the folder."""
        approved = [row.organ for row in rows if row.state == APPROVED]
        running = self.section.panel.runs.is_running or self.is_collecting
        set_enabled(self.ui.collectButton, bool(approved) and not running, self.ui.reviewTable)
        for button in (self.ui.finetuneButton, self.ui.trainingSetButton):  # the first case makes room for them
            button.setVisible(bool(self.folder))
        set_enabled(self.ui.finetuneButton, bool(self.folder), self.ui.reviewTable)
        into = self.folder or _("a folder that is asked for")
        self.ui.collectButton.toolTip = (
            _("Put {organs} with the CT into your training set, without names: {folder}.").format(
                organs=", ".join(approved), folder=into
            )
            if approved
            else _("Approve organs first: only approved ones are put into your training set.")
        )
        self.ui.trainingSetButton.toolTip = _("The training set is {folder}. Press to choose another folder.").format(
            folder=into
        )

    # Add to the training set -------------------------------------------------------------------------------------------------------

    def choose_folder(self) -> str:
        """Ask for the folder of the training set; return it, "" if nothing was chosen."""
        found = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder of your training set"))
        if found:
            remember(TRAINING_SET, str(found))
            self.section.fill()
        return str(found or "")

    def collect(self, same_patient: str = "ask") -> None:
        """Add the approved organs of the result on screen. Asks for the folder the first time, and for consent once per folder."""
        node, panel = self.section.node, self.section.panel
        if node is None or self.is_collecting:
            return
        folder = self.folder if self.folder and Path(self.folder).is_dir() else self.choose_folder()
        if not folder:
            return
        try:
            from ..exchange.collect import Collecting

            consent = self._consent(folder)
            if consent is None:
                self._tell("warning", _("Nothing was added: copies of scans are kept only where that is allowed."))
                return
            offset = float(panel.parameters.huOffset) if panel.parameters is not None else 0.0
            self.collecting = Collecting(self._collected, timer=make_timer())
            self.collecting.start(
                node,
                self.section.volume_node,
                folder,
                consent=consent,
                same_patient=same_patient,
                hu_offset=offset or None,
            )
        except (FocusNetError, ImportError, OSError) as problem:
            self._tell("error", str(problem))
            return
        self._tell("", _("Adding the approved organs to {folder}...").format(folder=folder))

    def _consent(self, folder: str) -> str | None:
        """Return "" where consent was given before, "panel" where it is given now, None where it is not. Raises DatasetError."""
        from focusnet.collect.consent import PANEL, QUESTION, TEXT
        from focusnet.collect.folder import open_set

        if open_set(Path(folder)) is not None:
            return ""
        text = _("{folder} is a new training set. {text} {question}").format(
            folder=folder, text=TEXT, question=QUESTION
        )
        return PANEL if slicer.util.confirmYesNoDisplay(text, windowTitle=_("May copies be kept?")) else None

    def _collected(self, ended: CollectEnd) -> None:
        if ended.same_patient:
            question = _("This patient is in the training set already ({cases}).").format(
                cases=", ".join(ended.same_patient)
            )
            answer = choose(_("The same patient"), question, [_("Replace the case"), _("Keep both")])
            if answer is None:
                self._tell("warning", _("Nothing was added: the patient is there already."))
            else:
                self.collect("replace" if answer == 0 else "keep-both")
            return
        if ended.case is None:
            self._tell("error", ended.text)
            return
        text = _("Added {organs} as case {case} to your training set.").format(
            organs=", ".join(ended.case["organs"]), case=ended.case["case"]
        )
        self._tell("ok", " ".join([text, ended.text]))

    # Fine-tune ---------------------------------------------------------------------------------------------------------------------

    def fine_tune(self) -> None:
        """Start a fine-tuning of the chosen model on the training set, or say how the one that runs stands."""
        try:
            from focusnet.datasets.collected import read_collection

            from ..process.training import FocusNetTrainingLogic

            logic = FocusNetTrainingLogic()
            going_on = self._progress()
            if going_on is not None and going_on.state == "running":
                if choose(_("Fine-tune"), str(going_on), [_("Go on"), _("Stop it")]) == 1:
                    self._say(logic.stop(going_on.out))
                return
            entry = self.section.panel.models.entry
            if entry is None:
                self._tell("warning", _("Choose the model to fine-tune under Inputs."))
                return
            if entry.parts:
                self._tell(
                    "warning",
                    _("One model is fine-tuned at a time: choose one of {models} under Inputs.").format(
                        models=entry.drawn_as
                    ),
                )
                return
            count = len(read_collection(self.folder).cases)
            question = _(
                "Fine-tune {model} on the {count} cases of {folder}? It runs in the background, also when Slicer is closed, and makes a new "
                "version; the model itself stays as it is."
            ).format(model=entry.name, count=count, folder=self.folder)
            if not slicer.util.confirmOkCancelDisplay(question, windowTitle=_("Fine-tune")):
                return
            run = logic.fine_tune(self.folder, str(entry.folder) if not entry.is_shipped else entry.name)
        except (FocusNetError, ImportError, OSError) as problem:
            self._tell("error", str(problem))
            return
        remember(FINE_TUNING, str(run.out))
        self._tell(
            "ok",
            _("Fine-tuning has started; Fine-tune... says how it stands. Its folder: {folder}").format(folder=run.out),
        )
        self._look.start()

    def _progress(self) -> TrainingProgress | None:
        """Return how the last fine-tuning stands, None where there is none."""
        from ..process.training import FocusNetTrainingLogic

        run = remembered(FINE_TUNING)
        try:
            return FocusNetTrainingLogic().progress(run) if run else None
        except FocusNetError:  # its folder has gone
            return None

    def _fine_tuning_goes_on(self) -> None:
        progress = self._progress()
        if progress is None:
            return
        if progress.state == "running":
            self._look.start()
        else:
            self._say(progress)

    def _say(self, progress: TrainingProgress) -> None:
        """Tell a person how a fine-tuning ended."""
        if progress.state == "finished":
            text = _(
                "Fine-tuning has ended. Compare before you adopt it (Show details has the commands). The new version: {folder}"
            )
            self.section.panel.say("ok", text.format(folder=progress.out), _next_steps(progress, self.folder))
        else:
            self._tell("error" if progress.state == "failed" else "warning", str(progress))

    def _tell(self, level: str, text: str) -> None:
        """Show one line at the bottom of the panel, which is always in sight."""
        self.section.panel.say(level, text)
        self.section.fill()

    def close(self) -> None:
        """Leave no process of ours behind but a fine-tuning, which goes on without Slicer."""
        if self.collecting is not None:
            self.collecting.stop()
        self._look.stop()
        self._look.deleteLater()


def _next_steps(progress: TrainingProgress, folder: str) -> str:
    """Return the commands with which a new version is compared and adopted."""
    from ..process.training import FocusNetTrainingLogic

    old = FocusNetTrainingLogic().find(progress.out).fine_tunes
    return f'focusnet compare "{old}" "{progress.out}" --dataset "{folder}"\nfocusnet models adopt "{progress.out}"'
