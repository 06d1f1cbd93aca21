"""A worker's result on its way into the scene: read from its file at once, unpacked and brought in in short steps."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from focusnet.errors import InputError
from focusnet.image.volume import Geometry

from ..scene.fingerprints import Fingerprint
from ..scene.nodes import SegmentationImport, import_in_steps
from ..scene.results import changed_organs
from ..scene.types import Scene, SegmentationNode, VolumeNode

if TYPE_CHECKING:
    from focusnet.io.seg_nrrd_steps import SegNrrdReader


@dataclass
class ResultImport:
    """``segmentation_node``: gets the organs; None, or one that has gone, for a new one. ``before``: its organs when the run began. ``written``:
    the CT's grid then. ``on_conflict(organs)``: whether to draw organs anew that were painted meanwhile. ``touched``: whether the scene holds a
    part of the result."""

    scene: Scene
    volume_node: VolumeNode
    segmentation_node: SegmentationNode | None
    before: Mapping[str, Fingerprint]
    written: Geometry
    on_conflict: Callable[[tuple[str, ...]], bool]
    touched: bool = False

    def steps(self, reader: SegNrrdReader) -> Generator[None, None, SegmentationImport]:
        """Bring the result in without losing what was painted during the run. Raises InputError."""
        drawn = yield from reader.steps()
        yield
        node = self._target()
        redone = {result.organ.name for result in drawn.results}
        edited = tuple(name for name in changed_organs(node, self.before) if name in redone)
        keep = () if edited and self.on_conflict(edited) else edited
        yield
        node = self._target()  # a question may have been open for long
        self.touched = True
        return (yield from import_in_steps(self.scene, drawn, self.volume_node, node, written=self.written, keep=keep))

    def _target(self) -> SegmentationNode | None:
        """Return the segmentation that gets the organs, None for a new one. Raises InputError if the CT has gone."""
        if self.volume_node.GetScene() is not self.scene:
            raise InputError("The CT was removed during the run, so there is no place for its result.")
        node = self.segmentation_node
        return node if node is not None and node.GetScene() is self.scene else None
