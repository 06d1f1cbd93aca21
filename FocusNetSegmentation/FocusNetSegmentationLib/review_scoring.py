"""Scores for the segmentation in the scene: ``focusnet qa`` in a process of its own, because it may need torch and takes seconds."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from focusnet.errors import FocusNetError, InputError

from .background import BackgroundCommand, focusnet_arguments
from .fingerprints import Fingerprint
from .labelmaps import LABELMAP, image_matrix, voxels, whole_shift
from .review_scores import Scores, read_scores
from .volumes import LPS_RAS, check_node, transform_matrix, write_ct_for_worker
from .worker_protocol import ErrorEvent, LineParser, WorkerProcess, explain_end


def grid_note(segmentation_node: Any, volume_node: Any) -> str:
    """A sentence if the segmentation does not lie on the CT's grid; "" if it does."""
    if volume_node is None:
        return ""
    to_world = transform_matrix(segmentation_node)
    ct = LPS_RAS @ check_node(volume_node).affine_xyz
    segmentation = segmentation_node.GetSegmentation()
    for index in range(segmentation.GetNumberOfSegments()):
        image = segmentation.GetNthSegment(index).GetRepresentation(LABELMAP)
        if image is not None and voxels(image).size and whole_shift(ct, to_world @ image_matrix(image)) is None:
            return f"The segmentation lies on another grid than {volume_node.GetName()}: it is resampled to it for the scores."
    return ""


class Scoring:
    """One scoring at a time. ``on_end(scores, marks, message)``: ``scores`` is None where it failed, and ``message`` says why in one line;
    ``marks``: what the organs looked like when it was started."""

    def __init__(
        self,
        on_end: Callable[[Scores | None, Mapping[str, Fingerprint], str], object],
        process: WorkerProcess | None = None,
    ) -> None:
        self.on_end, self.process = on_end, process
        self.command: BackgroundCommand | None = None
        self._folder: Path | None = None
        self._marks: dict[str, Fingerprint] = {}

    @property
    def is_running(self) -> bool:
        return self.command is not None and self.command.is_running

    def start(self, segmentation_node: Any, volume_node: Any, marks: Mapping[str, Fingerprint]) -> None:
        """Write both and start. Raises InputError or OutputError for what cannot be scored."""
        from focusnet.io.seg_nrrd import write_seg_nrrd

        from .exporting import segmentation_on

        self.stop()
        if volume_node is None:
            raise InputError("The CT of this segmentation is not in the scene. Choose it under Inputs.")
        geometry = check_node(volume_node)
        segmentation, _ = segmentation_on(geometry, segmentation_node)
        if not np.any(segmentation.labels):
            raise InputError("Every organ of this segmentation is empty: there is nothing to score.")
        self._marks = dict(marks)
        self._folder = Path(tempfile.mkdtemp(prefix="focusnet-qa-"))
        try:
            write_ct_for_worker(volume_node, self._folder / "ct.nrrd")
            write_seg_nrrd(segmentation, self._folder / "organs.seg.nrrd")
            names = ("organs.seg.nrrd", "ct.nrrd", "review.json")
            organs, ct, out = (str(self._folder / name) for name in names)
            self.command = BackgroundCommand(self._ended, self.process)
            self.command.start(*focusnet_arguments("qa", organs, "--ct", ct, "-o", out, "--json-progress"))
        except BaseException:
            self._clean()
            raise

    def stop(self) -> None:
        """End it without a word; no process and no file is left."""
        if self.command is not None:
            self.command.stop()
            self.command = None
        self._clean()

    def _ended(self, status: int, out: str, err: str) -> None:
        del out
        folder, self.command = self._folder, None
        scores, message = None, ""
        try:
            if status == 0 and folder is not None:
                scores = read_scores(folder / "review.json")
            else:
                message = _why(status, err)
        except FocusNetError as problem:
            message = str(problem)
        self._clean()
        self.on_end(scores, self._marks, message)

    def _clean(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def _why(status: int, err: str) -> str:
    """The worker's own line, else what its end means."""
    parser = LineParser()
    events = parser.feed(err.encode(), final=True)
    said = [event.message for event in events if isinstance(event, ErrorEvent)]
    if said:
        return said[-1]
    if status == 2 and parser.details:  # arguments that were refused before anything was written as JSON
        return parser.details[-1]
    return explain_end(status, False, err).replace("The segmentation ", "The scoring ")
