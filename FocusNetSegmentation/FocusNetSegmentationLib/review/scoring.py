"""Scores for the segmentation in the scene: ``focusnet qa`` in a process of its own, because it may need torch and takes seconds."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from focusnet.errors import FocusNetError, InputError
from focusnet.image.segmentation import Segmentation

from ..process.background import BackgroundCommand, focusnet_arguments
from ..process.steps import Steps, make_timer
from ..process.worker_protocol import ErrorEvent, LineParser, WarningEvent, WorkerProcess, explain_end
from ..scene.as_segmentation import segmentation_on
from ..scene.fingerprints import Fingerprint
from ..scene.labelmaps import LABELMAP, image_matrix, voxels, whole_voxel_shift
from ..scene.types import SegmentationNode, VolumeNode
from ..scene.volumes import LPS_RAS, check_node, transform_matrix, write_ct_for_worker
from .scores import LOOK_AT, Scores, read_scores, scores_from

PAUSE_S = 0.3  # between two lists of the scores so far


def grid_note(segmentation_node: SegmentationNode, volume_node: VolumeNode | None) -> str:
    """Return a sentence if the segmentation does not lie on the CT's grid; "" if it does."""
    if volume_node is None or not on_other_grid(segmentation_node, volume_node):
        return ""
    return f"The segmentation lies on another grid than {volume_node.GetName()}: it is resampled to it for the scores."


def on_other_grid(segmentation_node: SegmentationNode, volume_node: VolumeNode) -> bool:
    """Return whether voxels of any segment do not fall on the CT's voxels."""
    to_world = transform_matrix(segmentation_node)
    ct = LPS_RAS @ check_node(volume_node).affine_xyz
    segmentation = segmentation_node.GetSegmentation()
    for index in range(segmentation.GetNumberOfSegments()):
        image = segmentation.GetNthSegment(index).GetRepresentation(LABELMAP)
        if image is not None and voxels(image).size and whole_voxel_shift(ct, to_world @ image_matrix(image)) is None:
            return True
    return False


def may_have_shape_priors(segmentation: Segmentation) -> bool:
    """Return whether an organ is drawn whose shape may be known: a small one, or any where the model of large organs' shapes is installed."""
    from focusnet.qa.shape_model import has_large_shapes

    drawn = [r.organ for r in segmentation.results if r.volume_ml > 0]
    return any(organ.small for organ in drawn) or (bool(drawn) and has_large_shapes())


@dataclass(frozen=True)
class ScoringResult:
    """Result of a scoring.

    ``scores``: None where it failed; then ``message`` says why in one line, else it has the warnings. ``fingerprints``: what the organs looked like
    when it was started. ``shape_priors``: a .seg.nrrd of shape priors, None where there are none; it is gone after the callback.
    """

    scores: Scores | None
    fingerprints: Mapping[str, Fingerprint]
    message: str = ""
    shape_priors: Path | None = None


class Scoring:
    """One scoring at a time; ``on_end(ScoringResult)`` tells of its end, ``on_some(ScoringResult)`` of the organs that have scores so far."""

    def __init__(
        self,
        on_end: Callable[[ScoringResult], object],
        process: WorkerProcess | None = None,
        on_some: Callable[[ScoringResult], object] = lambda _result: None,
    ) -> None:
        self.on_end, self.process, self.on_some = on_end, process, on_some
        self.command: BackgroundCommand | None = None
        self.writing: Steps[None] | None = None
        self._heard = ScoresSoFar()
        self._folder: Path | None = None
        self._fingerprints: dict[str, Fingerprint] = {}
        self._with_shape_priors = False

    @property
    def is_running(self) -> bool:
        writing = self.writing is not None and self.writing.is_running
        return writing or (self.command is not None and self.command.is_running)

    def start(
        self,
        segmentation_node: SegmentationNode,
        volume_node: VolumeNode | None,
        fingerprints: Mapping[str, Fingerprint],
    ) -> None:
        """Start to write both, in short steps; the process follows. Raises InputError for what cannot be scored. What cannot be written is
        told by ``on_end``."""
        self.stop()
        if volume_node is None:
            raise InputError("The CT of this segmentation is not in the scene. Choose it under Inputs.")
        geometry = check_node(volume_node)
        segmentation, _ = segmentation_on(geometry, segmentation_node)
        if not np.any(segmentation.labels):
            raise InputError("Every organ of this segmentation is empty: there is nothing to score.")
        self._fingerprints = dict(fingerprints)
        self._folder = Path(tempfile.mkdtemp(prefix="focusnet-qa-"))
        known = may_have_shape_priors(segmentation)
        self.writing = Steps(
            write_input(volume_node, segmentation, self._folder),
            on_end=lambda _: self._run(with_shape_priors=known),
            on_error=self._not_written,
            timer=make_timer(),
        )
        self.writing.start()

    def stop(self) -> None:
        """End it without a callback; no process and no file is left."""
        if self.writing is not None:
            self.writing.stop()
            self.writing = None
        if self.command is not None:
            self.command.stop()
            self.command = None
        self._clean()

    def _run(self, with_shape_priors: bool) -> None:
        assert self._folder is not None
        self.writing, self._heard = None, ScoresSoFar()
        organs, ct, out, shape_priors = (
            str(self._folder / name) for name in ("organs.seg.nrrd", "ct.nrrd", "review.json", "shape-priors.seg.nrrd")
        )
        self._with_shape_priors = with_shape_priors
        self.command = BackgroundCommand(self._ended, self.process, self._line)
        more = ["--shape-priors", shape_priors] if with_shape_priors else []
        self.command.start(*focusnet_arguments("qa", organs, "--ct", ct, "-o", out, *more, "--json-progress"))

    def _not_written(self, problem: Exception) -> None:
        self.writing = None
        self._clean()
        if not isinstance(problem, (FocusNetError, OSError)):
            raise problem
        self.on_end(ScoringResult(None, self._fingerprints, str(problem)))

    def _line(self, line: str) -> None:
        scores = self._heard.hear(line)
        if scores is not None:
            self.on_some(ScoringResult(scores, self._fingerprints))

    def _ended(self, status: int, out: str, err: str) -> None:
        del out
        folder, self.command = self._folder, None
        assert folder is not None
        if (
            status == 2 and self._with_shape_priors
        ):  # no shape prior for these organs: the scores are wanted all the same
            self._run(with_shape_priors=False)
            return
        shape_priors = folder / "shape-priors.seg.nrrd"
        try:
            if status == 0:
                scores = read_scores(folder / "review.json")
                ended = ScoringResult(
                    scores, self._fingerprints, _warnings(err), shape_priors if shape_priors.is_file() else None
                )
            else:
                ended = ScoringResult(None, self._fingerprints, _why(status, err))
            self.on_end(ended)
        except FocusNetError as problem:
            self.on_end(ScoringResult(None, self._fingerprints, str(problem)))
        finally:
            self._clean()

    def _clean(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


class ScoresSoFar:
    """Collects the organs that ``focusnet qa --json-progress`` tells of while it works."""

    def __init__(self) -> None:
        self._entries: list[dict[str, Any]] = []
        self._told = 0  # entries that were handed on
        self._last_s = float("-inf")
        self._step = ""

    def hear(self, line: str) -> Scores | None:
        """Return the scores of all organs so far, worst first, when there are new ones and a while has passed (each list that is drawn costs
        time) or the next organ will take long; else None."""
        try:
            message = json.loads(line) if line.startswith("{") else None
        except ValueError:
            return None
        if not isinstance(message, dict):
            return None
        slower = message.get("event") == "progress" and message.get("step") != self._step
        if message.get("event") == "progress":
            self._step = str(message.get("step"))
        elif message.get("event") == "organ" and message.get("organ"):
            self._entries.append(message)
        now = time.monotonic()
        if len(self._entries) == self._told or (now - self._last_s < PAUSE_S and not slower):
            return None
        self._told, self._last_s = len(self._entries), now
        return scores_from({"organs": sorted(self._entries, key=_worst_first)})


def _worst_first(entry: Mapping[str, Any]) -> tuple[bool, float]:
    score = entry.get("score")
    return entry.get("state_hint") != LOOK_AT, -score if isinstance(score, (int, float)) else 0.0


def write_input(volume_node: VolumeNode, segmentation: Segmentation, folder: Path) -> Generator[None, None, None]:
    """Write what is scored; yields between the files."""
    from focusnet.io.seg_nrrd import write_seg_nrrd

    yield
    write_ct_for_worker(volume_node, folder / "ct.nrrd")
    yield
    write_seg_nrrd(segmentation, folder / "organs.seg.nrrd", crop=True)


def _warnings(err: str) -> str:
    events = LineParser().feed(err.encode(), final=True)
    return " ".join(event.message for event in events if isinstance(event, WarningEvent))


def _why(status: int, err: str) -> str:
    """The worker's own line, else what its end means."""
    parser = LineParser()
    events = parser.feed(err.encode(), final=True)
    said = [event.message for event in events if isinstance(event, ErrorEvent)]
    if said and status == 2:
        return said[-1]
    if status == 2 and parser.details:  # arguments that were refused before anything was written as JSON
        return parser.details[-1]
    explained = explain_end(status, False, err).replace("The segmentation ", "The scoring ")
    return said[-1] if said and explained.endswith("See the details.") else explained
