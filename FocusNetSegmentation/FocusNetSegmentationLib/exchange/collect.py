"""From an approved result in the scene to a case of a training set: ``focusnet collect`` in a process of its own."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from focusnet.errors import FocusNetError, InputError
from focusnet.image.organs import find_organ
from focusnet.image.segmentation import Segmentation
from focusnet.io.segment_tags import REVIEW_TAG, tag_text

from ..process.background import BackgroundCommand, focusnet_arguments
from ..process.steps import Steps
from ..process.worker_protocol import ErrorEvent, LineParser, WarningEvent, WorkerProcess, explain_end
from ..review.scoring import on_other_grid
from ..scene.as_segmentation import segmentation_on
from ..scene.helper_nodes import frozen_copy
from ..scene.review_tags import APPROVED
from ..scene.types import SegmentationNode, VolumeNode
from ..scene.volumes import check_node, write_ct_for_worker
from .export import kept_tags, review_states

NOT_THERE = "The CT of this segmentation is not in the scene. Choose it under Inputs."
PATIENT_ID = "0010,0020"


@dataclass(frozen=True)
class CollectEnd:
    """How it ended. ``case``: what was added (case, patient, split, organs), None where nothing was. ``text``: for people.

    ``same_patient``: the patient's cases that are there already, where it has to be said whether they are replaced; nothing was added then.
    """

    case: dict[str, Any] | None
    text: str
    same_patient: tuple[str, ...] = ()


@dataclass(frozen=True)
class ApprovedResult:
    """What is collected. ``patient``: the number in Slicer's DICOM database, "" where that does not know the CT."""

    approved: Segmentation
    tags: dict[str, dict[str, str]]
    drawn: Segmentation | None
    patient: str
    notes: tuple[str, ...]


def approved_result(
    segmentation_node: SegmentationNode, volume_node: VolumeNode | None, organs: Sequence[str] | None = None
) -> ApprovedResult:
    """Return the approved organs (all, or those of ``organs``) and the model's own copy on the CT's grid. Raises InputError."""
    if volume_node is None:
        raise InputError(NOT_THERE)
    geometry = check_node(volume_node)
    if on_other_grid(segmentation_node, volume_node):
        raise InputError(
            f"The segmentation lies on another grid than {volume_node.GetName()}, so that its voxels would not be those that were approved. "
            "Choose the CT that it was drawn on."
        )
    segmentation, notes = segmentation_on(geometry, segmentation_node)
    states, _ = review_states(segmentation, segmentation_node)
    wanted = [name for name, state in states.items() if state == APPROVED]
    if organs is not None:
        missing = [name for name in organs if name not in wanted]
        if missing:
            raise InputError(f"{', '.join(missing)}: not approved. Approve it in the review first, or leave it out.")
        wanted = list(organs)
    unknown = [name for name in wanted if find_organ(name) is None]
    if unknown:
        notes.append(
            f"{', '.join(unknown)}: no organ that is known here, left out. Rename the segment, such as Parotid_L."
        )
    results = [r for r in segmentation.results if r.organ.name in wanted and r.organ.name not in unknown]
    if not results:
        raise InputError(
            " ".join(["No organ is approved, and only approved organs are collected.", *notes[-len(unknown) :]])
        )
    labels = np.where(np.isin(segmentation.labels, [r.label for r in results]), segmentation.labels, 0).astype(np.uint8)
    kept = replace(segmentation, labels=labels, results=tuple(results))
    frozen = frozen_copy(segmentation_node)
    drawn = None if frozen is None else segmentation_on(geometry, frozen)[0]
    return ApprovedResult(kept, _tags(kept, segmentation_node), drawn, patient_number(volume_node), tuple(notes))


def patient_number(volume_node: VolumeNode) -> str:
    """Return the patient's number from Slicer's DICOM database, "" where that does not know the CT."""
    uids = (volume_node.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    return str(database.instanceValue(uids[0], PATIENT_ID) or "").strip() if uids and database is not None else ""


class Collecting:
    """Adds one case at a time; ``on_end(CollectEnd)`` tells how it ended. ``timer``: see ``Steps``."""

    def __init__(
        self, on_end: Callable[[CollectEnd], object], process: WorkerProcess | None = None, timer: Any = None
    ) -> None:
        self.on_end, self.process, self.timer = on_end, process, timer
        self.command: BackgroundCommand | None = None
        self.writing: Steps[None] | None = None
        self._folder: Path | None = None

    @property
    def is_running(self) -> bool:
        writing = self.writing is not None and self.writing.is_running
        return writing or (self.command is not None and self.command.is_running)

    def start(
        self,
        segmentation_node: SegmentationNode,
        volume_node: VolumeNode | None,
        into: Path | str,
        organs: Sequence[str] | None = None,
        consent: str = "",
        same_patient: str = "ask",
        patient: str = "",
        hu_offset: float | None = None,
    ) -> None:
        """Write the files in short steps; the process follows. Raises InputError for what cannot be collected.

        ``consent``: "panel" or "option" where a person has allowed that copies are kept. ``same_patient``: "ask", "replace" or
        "keep-both". ``patient``: the patient's number, instead of the one in Slicer's DICOM database. ``hu_offset``: added to every value.
        """
        self.stop()
        result = approved_result(segmentation_node, volume_node, organs)
        folder = self._folder = Path(tempfile.mkdtemp(prefix="focusnet-collect-"))
        arguments = ["collect", str(folder / "reviewed.seg.nrrd"), "--ct", str(folder / "ct.nrrd"), "--into", str(into)]
        if result.drawn is not None:
            arguments += ["--model-copy", str(folder / "model.seg.nrrd")]
        arguments += [f"--{same_patient}"] if same_patient in ("replace", "keep-both") else []
        arguments += {"panel": ["--consent-in-panel"], "option": ["--consent"]}.get(consent, [])
        arguments += [] if hu_offset is None else [f"--hu-offset={hu_offset:g}"]
        self.writing = Steps(
            _write(result, volume_node, folder),
            on_end=lambda _: self._run(
                [*arguments, "--patient", "-", "--json-progress"], patient or result.patient, result.notes
            ),
            on_error=self._not_written,
            timer=self.timer,
        )
        self.writing.start()

    def stop(self) -> None:
        """End it without a callback. What was not added by then is not added."""
        if self.writing is not None:
            self.writing.stop()
            self.writing = None
        if self.command is not None:
            self.command.stop()
            self.command = None
        self._clean()

    def _run(self, arguments: list[str], patient: str, notes: tuple[str, ...]) -> None:
        self.writing = None
        self.command = BackgroundCommand(lambda status, _, err: self._ended(status, err, notes), self.process)
        self.command.start(*focusnet_arguments(*arguments))
        if self.command is not None and self.command.is_running:
            self.command.process.write(f"{patient}\n".encode())  # no argument: every user of the computer could read it

    def _not_written(self, problem: Exception) -> None:
        self.writing = None
        self._clean()
        if not isinstance(problem, (FocusNetError, OSError)):
            raise problem
        self.on_end(CollectEnd(None, str(problem)))

    def _ended(self, status: int, err: str, notes: tuple[str, ...]) -> None:
        self.command = None
        self._clean()
        self.on_end(_end(status, err, notes))

    def _clean(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def collect(
    segmentation_node: SegmentationNode,
    volume_node: VolumeNode | None,
    into: Path | str,
    process: WorkerProcess | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Add the approved organs and wait. Returns case, patient, split, organs and text (sentences for people).

    ``options``: organs, consent (True where copies of the scan may be kept in a new folder), same_patient, patient, hu_offset; see ``Collecting.start``.
    Raises InputError with one line if nothing was added.
    """
    ends: list[CollectEnd] = []
    collecting = Collecting(ends.append, process)
    options["consent"] = "option" if options.get("consent") else ""
    collecting.start(segmentation_node, volume_node, into, **options)
    while not ends and collecting.command is not None:
        collecting.command.wait(0.05)
    ended = ends[0]
    if ended.case is None:
        text = ended.text.replace("--replace or --keep-both", 'same_patient="replace" or "keep-both"')
        raise InputError(text.replace("--consent", "consent=True"))
    return {**ended.case, "text": ended.text}


def _tags(approved: Segmentation, segmentation_node: SegmentationNode) -> dict[str, dict[str, str]]:
    """Return the segments' tags with approvals that name the voxels as they are written: the scene may have other axes or a transform."""
    from focusnet.io.review_tags import fingerprint

    tags = kept_tags(approved, segmentation_node)
    for result in approved.results:
        record = {"state": APPROVED, "approved": fingerprint(approved.labels == result.label, approved)}
        tags[result.organ.name][REVIEW_TAG] = tag_text(record)
    return tags


def _write(result: ApprovedResult, volume_node: VolumeNode | None, folder: Path) -> Generator[None, None, None]:
    from focusnet.io.seg_nrrd import write_seg_nrrd

    yield
    write_ct_for_worker(volume_node, folder / "ct.nrrd")
    yield
    write_seg_nrrd(result.approved, folder / "reviewed.seg.nrrd", crop=True, tags=result.tags)
    yield
    if result.drawn is not None:
        write_seg_nrrd(result.drawn, folder / "model.seg.nrrd", crop=True)


def _end(status: int, err: str, notes: tuple[str, ...]) -> CollectEnd:
    parser = LineParser()
    events = parser.feed(err.encode(), final=True)
    said = [event.message for event in events if isinstance(event, ErrorEvent)]
    told = {str(m.get("event")): m for line in err.splitlines() if (m := _message(line))}
    if status == 0 and "result" in told:
        case = {key: told["result"].get(key) for key in ("case", "patient", "split", "organs")}
        warnings = [event.message for event in events if isinstance(event, WarningEvent)]
        return CollectEnd(case, _without_options(" ".join([*notes, *warnings])))
    if "same_patient" in told:
        return CollectEnd(None, said[-1] if said else "", tuple(told["same_patient"].get("cases") or ()))
    if status == 2 and (said or parser.details):
        return CollectEnd(None, said[-1] if said else parser.details[-1])
    return CollectEnd(None, explain_end(status, False, err).replace("The segmentation ", "Collecting "))


def _without_options(text: str) -> str:
    """Return sentences of the command line without its options, which a person at the panel has not."""
    for said, here in (
        ("; --patient tells which it is", ""),
        ("Without --model-copy", "Without the model's own copy"),
    ):
        text = text.replace(said, here)
    return text


def _message(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line) if line.startswith("{") else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
