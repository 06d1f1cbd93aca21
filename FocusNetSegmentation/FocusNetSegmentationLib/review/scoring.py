"""Scores for the segmentation in the scene: ``focusnet qa`` in a process of its own, because it may need torch and takes seconds."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from focusnet.errors import FocusNetError, InputError
from focusnet.image.segmentation import Segmentation

from ..process.background import BackgroundCommand, focusnet_arguments
from ..process.worker_protocol import ErrorEvent, LineParser, WarningEvent, WorkerProcess, explain_end
from ..scene.as_segmentation import segmentation_on
from ..scene.fingerprints import Fingerprint
from ..scene.labelmaps import LABELMAP, image_matrix, voxels, whole_voxel_shift
from ..scene.types import SegmentationNode, VolumeNode
from ..scene.volumes import LPS_RAS, check_node, transform_matrix, write_ct_for_worker
from .scores import Scores, read_scores


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


def has_small_organs(segmentation: Segmentation) -> bool:
    """Return whether any small organ is drawn: only these have shape priors."""
    return any(r.organ.small and r.volume_ml > 0 for r in segmentation.results)


@dataclass(frozen=True)
class ScoringResult:
    """What came of a scoring.

    ``scores``: None where it failed; then ``message`` says why in one line, else it has the warnings. ``fingerprints``: what the organs looked like
    when it was started. ``shape_priors``: a .seg.nrrd of shape priors, None where there are none; it is gone after the callback.
    """

    scores: Scores | None
    fingerprints: Mapping[str, Fingerprint]
    message: str = ""
    shape_priors: Path | None = None


class Scoring:
    """One scoring at a time; ``on_end(ScoringResult)`` tells of its end."""

    def __init__(self, on_end: Callable[[ScoringResult], object], process: WorkerProcess | None = None) -> None:
        self.on_end, self.process = on_end, process
        self.command: BackgroundCommand | None = None
        self._folder: Path | None = None
        self._fingerprints: dict[str, Fingerprint] = {}
        self._with_shape_priors = False

    @property
    def is_running(self) -> bool:
        return self.command is not None and self.command.is_running

    def start(
        self,
        segmentation_node: SegmentationNode,
        volume_node: VolumeNode | None,
        fingerprints: Mapping[str, Fingerprint],
    ) -> None:
        """Write both and start. Raises InputError or OutputError for what cannot be scored."""
        from focusnet.io.write import write_image

        self.stop()
        if volume_node is None:
            raise InputError("The CT of this segmentation is not in the scene. Choose it under Inputs.")
        geometry = check_node(volume_node)
        segmentation, _ = segmentation_on(geometry, segmentation_node)
        if not np.any(segmentation.labels):
            raise InputError("Every organ of this segmentation is empty: there is nothing to score.")
        self._fingerprints = dict(fingerprints)
        self._folder = Path(tempfile.mkdtemp(prefix="focusnet-qa-"))
        try:
            write_ct_for_worker(volume_node, self._folder / "ct.nrrd")
            write_image(segmentation, self._folder / "organs.seg.nrrd")
            self._run(with_shape_priors=has_small_organs(segmentation))
        except BaseException:
            self._clean()
            raise

    def stop(self) -> None:
        """End it without a callback; no process and no file is left."""
        if self.command is not None:
            self.command.stop()
            self.command = None
        self._clean()

    def _run(self, with_shape_priors: bool) -> None:
        assert self._folder is not None
        organs, ct, out, shape_priors = (
            str(self._folder / name) for name in ("organs.seg.nrrd", "ct.nrrd", "review.json", "shape-priors.seg.nrrd")
        )
        self._with_shape_priors = with_shape_priors
        self.command = BackgroundCommand(self._ended, self.process)
        more = ["--shape-priors", shape_priors] if with_shape_priors else []
        self.command.start(*focusnet_arguments("qa", organs, "--ct", ct, "-o", out, *more, "--json-progress"))

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
