"""From a CT in the scene to organs in the scene: one run or all CTs one after the other, waiting or not, with or without a window.

The network runs in a process of its own (``worker``); nodes are touched on the calling thread only.
"""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from focusnet.errors import FocusNetError
from focusnet.image.orientation_doubt import OVERRIDE_OPTION

from ..scene.nodes import SegmentationImport
from ..scene.results import organ_fingerprints
from ..scene.types import Scene, SegmentationNode, VolumeNode
from ..scene.volumes import check_node, volume_summary, write_ct_for_worker
from .result_import import ResultImport
from .steps import Steps, make_timer
from .worker import (
    QtProcess,
    SubprocessProcess,
    Worker,
    WorkerBusyError,
    WorkerCallbacks,
    WorkerResult,
    default_process,
    remove_folder,
    slicer_application,
)
from .worker_protocol import ProgressEvent, WorkerProcess, WorkerRequest, focusnet_command

DEFAULT_MODEL = "han7-openkbp"


class SegmentationError(RuntimeError):
    """A run that failed. ``str()`` is one line for a person; ``details`` is what the worker wrote."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class SegmentationCancelledError(SegmentationError):
    """A run that was cancelled, or whose CT was removed."""


def _nothing(*_: object) -> None:
    return None


def _keep_edits(organs: tuple[str, ...]) -> bool:
    del organs
    return False


@dataclass
class Callbacks:
    """``on_progress(ProgressEvent)``, ``on_warning(text)``, and one of ``on_done(SegmentationImport)``, ``on_failed(message, details)``,
    ``on_cancelled()`` at the end. ``on_conflict(organs)`` is asked when a person edited organs during the run that drew them anew: True
    replaces what the person drew; without it, the person's voxels are kept."""

    on_progress: Callable[[ProgressEvent], object] = _nothing
    on_warning: Callable[[str], object] = _nothing
    on_done: Callable[[SegmentationImport], object] = _nothing
    on_failed: Callable[[str, str], object] = _nothing
    on_cancelled: Callable[[], object] = _nothing
    on_conflict: Callable[[tuple[str, ...]], bool] = _keep_edits


@dataclass(frozen=True)
class RunOptions:
    """How a CT is contoured.

    ``model``: a bundle's name or folder, or several. ``organs``: TG-263 names or synonyms, None for all of the model's. ``hu_offset``: added to every
    voxel. ``seeds``: where to look for a small organ, by its name, in the world's LPS mm.
    """

    model: str | Path | Sequence[str | Path] = DEFAULT_MODEL
    device: str = "auto"
    organs: Sequence[str] | None = None
    hu_offset: float | None = None
    seeds: Mapping[str, Sequence[float]] | None = None

    @property
    def model_argument(self) -> str:
        """Return what ``--model`` takes."""
        return str(self.model) if isinstance(self.model, (str, Path)) else ",".join(map(str, self.model))

    def arguments(self) -> tuple[str, ...]:
        """Return the arguments of ``focusnet segment`` that are not part of every run's paths, model and organs.

        A doubt about the CT's orientation must not keep the result from being seen: the scene takes it, and what leaves the scene asks.
        """
        offset = [] if self.hu_offset is None else [f"--hu-offset={self.hu_offset:g}"]
        places = {organ: ",".join(f"{v:.3f}" for v in place) for organ, place in (self.seeds or {}).items()}
        return (OVERRIDE_OPTION, *offset, *(f"--seed-point={organ}={place}" for organ, place in places.items()))


class SegmentationRun:
    """One run over one CT. ``start`` returns at once; a callback on the same thread tells of the end."""

    _active: SegmentationRun | None = None  # one at a time: two would fight for the same memory

    def __init__(
        self,
        volume_node: VolumeNode,
        segmentation_node: SegmentationNode | None = None,
        options: RunOptions | None = None,
        callbacks: Callbacks | None = None,
        process: WorkerProcess | None = None,
        command: Callable[[WorkerRequest], tuple[str, list[str]]] = focusnet_command,
    ) -> None:
        self.volume_node, self.segmentation_node = volume_node, segmentation_node
        self.options = options or RunOptions()
        self.callbacks = callbacks or Callbacks()
        self.imported: SegmentationImport | None = None
        self.failure: SegmentationError | None = None
        self.importing: Steps[SegmentationImport] | None = None
        self._incoming: ResultImport | None = None
        tell = WorkerCallbacks(
            on_progress=self._progress,
            on_warning=lambda text: self.callbacks.on_warning(text),
            on_done=self._import,
            on_failed=self._fail,
            on_cancelled=self._cancelled,
        )
        self.worker = Worker(process or default_process(), tell, command)

    @property
    def is_running(self) -> bool:
        return self.worker.is_running or (self.importing is not None and self.importing.is_running)

    def start(self) -> None:
        """Write the CT and start the worker. Raises InputError or OutputError for a CT that cannot be used, WorkerBusyError during
        another run."""
        active = SegmentationRun._active
        if active is not None and active.is_running:
            raise WorkerBusyError("A segmentation is running already. Wait for it or cancel it first.")
        check_node(self.volume_node)
        self.scene = self.volume_node.GetScene()
        folder = Path(tempfile.mkdtemp(prefix="focusnet-"))
        try:
            self.written = write_ct_for_worker(self.volume_node, folder / "ct.nrrd")
        except BaseException:
            remove_folder(folder)
            raise
        self.imported, self.failure = None, None
        self.before = organ_fingerprints(self.segmentation_node)
        SegmentationRun._active = self
        self.worker.start(
            WorkerRequest(
                input_path=folder / "ct.nrrd",
                output_path=folder / "organs.seg.nrrd",
                report_path=folder / "report.json",
                model=self.options.model_argument,
                device=self.options.device,
                organs=tuple(self.options.organs or ()),
                work_folder=folder,
                extra=self.options.arguments(),
            )
        )

    def cancel(self) -> None:
        """End the run; when this returns, no process and no file of it is left. A result that is in the scene already is completed."""
        if self.importing is None or not self.importing.is_running:
            self.worker.cancel()
        elif self._touched:
            self.importing.finish()
        else:
            self.importing.stop()
            self._cancelled()

    def close(self) -> None:
        """End the run as ``cancel`` does, but without callbacks: Slicer is closing."""
        self.callbacks = Callbacks()
        self.worker.close()
        if self.importing is not None:
            self.importing.finish() if self._touched else self.importing.stop()

    @property
    def _touched(self) -> bool:
        """Return whether the scene holds a part of the result."""
        return self._incoming is not None and self._incoming.touched

    def wait(self, timeout_s: float | None = None, idle: Callable[[], object] = _nothing) -> bool:
        """Wait for the end; False if ``timeout_s`` passed first."""
        if not self.worker.wait(timeout_s, idle):
            return False
        if self.importing is not None:
            self.importing.finish()
        return True

    def _is_gone(self) -> bool:
        return self.scene is None or self.volume_node.GetScene() is not self.scene

    def _progress(self, event: ProgressEvent) -> None:
        if self._is_gone():
            self.worker.close()
            self._fail("The CT was removed during the run, so the run was stopped.", "")
            return
        self.callbacks.on_progress(event)

    def _import(self, result: WorkerResult) -> None:
        """Begin to bring the result into the scene, in short steps: the file itself is read now, because it goes when this returns."""
        if self._is_gone():
            self._fail("The CT was removed during the run, so there is no place for its result.", "")
            return
        from focusnet.io.seg_nrrd_steps import SegNrrdReader

        try:
            reader = SegNrrdReader(result.segmentation_path, self.options.organs)
        except Exception as problem:
            self._not_imported(problem)
            return
        self._incoming = ResultImport(
            self.scene, self.volume_node, self.segmentation_node, self.before, self.written, self.callbacks.on_conflict
        )
        self.importing = Steps(
            self._incoming.steps(reader),
            on_end=lambda imported: self._imported(imported, result),
            on_error=self._not_imported,
            timer=make_timer() if isinstance(self.worker.process, QtProcess) else None,
        )
        self.importing.start()

    def _imported(self, imported: SegmentationImport, result: WorkerResult) -> None:
        retries = ((result.report or {}).get("run") or {}).get("retries") or []
        self.imported = replace(imported, warnings=(*imported.warnings, *result.warnings, *map(str, retries)))
        self.segmentation_node = imported.node
        self.callbacks.on_done(self.imported)

    def _not_imported(self, problem: Exception) -> None:
        if isinstance(problem, FocusNetError):
            self._fail(str(problem), "")
        else:
            details = "".join(traceback.format_exception(problem))
            self._fail(f"The result could not be brought into the scene ({problem}).", details)

    def _fail(self, message: str, details: str) -> None:
        self.failure = SegmentationError(message, details)
        self.callbacks.on_failed(message, details)

    def _cancelled(self) -> None:
        self.failure = SegmentationCancelledError("The segmentation was cancelled.")
        self.callbacks.on_cancelled()


def process(
    volumeNode: VolumeNode,
    segmentationNode: SegmentationNode | None = None,
    wait: bool = True,
    callbacks: Callbacks | None = None,
    **options: Any,
) -> SegmentationImport | SegmentationRun:
    """Contour a CT node. ``wait``: return a SegmentationImport, or raise SegmentationError with one line; otherwise return the
    SegmentationRun at once and tell ``callbacks``. Raises InputError at once for a node that cannot be a CT.

    ``options``: the fields of RunOptions, by name; for tests also ``process`` and ``command``.
    """
    run_options, how = _split(options)
    how.setdefault("process", SubprocessProcess() if wait else default_process())
    run = SegmentationRun(volumeNode, segmentationNode, run_options, callbacks, **how)
    run.start()
    if not wait:
        return run
    try:
        run.wait(idle=process_events)
    except BaseException:  # Ctrl+C in the console: leave no process
        run.close()
        raise
    if run.failure is not None:
        raise run.failure
    assert run.imported is not None  # a run that has ended failed or brought a result
    return run.imported


def _split(options: Mapping[str, Any]) -> tuple[RunOptions, dict[str, Any]]:
    """Return the fields of RunOptions among ``options``, and the rest."""
    names = {field.name for field in fields(RunOptions)}
    chosen = {name: value for name, value in options.items() if name in names}
    return RunOptions(**chosen), {name: value for name, value in options.items() if name not in names}


@dataclass(frozen=True)
class BatchItem:
    """``status``: "done", "failed", "skipped" (no usable CT) or "cancelled"."""

    volume_node: VolumeNode
    status: str
    message: str = ""
    imported: SegmentationImport | None = None


class BatchRun:
    """All CTs of a scene, one after the other; a bad one does not stop the rest. ``on_item`` is told of each."""

    def __init__(
        self,
        volume_nodes: Sequence[VolumeNode],
        on_item: Callable[[BatchItem], object] = _nothing,
        on_progress: Callable[[ProgressEvent], object] = _nothing,
        on_finished: Callable[[list[BatchItem]], object] = _nothing,
        **options: Any,
    ) -> None:
        self.waiting, self.total = list(volume_nodes), len(volume_nodes)
        self.on_item, self.on_progress, self.on_finished = on_item, on_progress, on_finished
        self.options, self.how = _split(options)
        self.items: list[BatchItem] = []
        self.run: SegmentationRun | None = None
        self.is_running = False

    def start(self) -> None:
        self.is_running = True
        self._next()

    def cancel(self) -> None:
        """End the run that is going on and leave out the rest."""
        rest, self.waiting = self.waiting, []
        for node in rest:
            self.items.append(BatchItem(node, "cancelled"))
        if self.run is not None:
            self.run.cancel()

    def wait(self, idle: Callable[[], object] = _nothing) -> list[BatchItem]:
        while self.is_running and self.run is not None:
            self.run.wait(0.2, idle)
        return self.items

    def _next(self) -> None:
        while self.waiting:
            node = self.waiting.pop(0)
            level, reason = volume_summary(node)
            if level == "refused":
                self._tell(BatchItem(node, "skipped", reason))
                continue
            callbacks = Callbacks(
                on_progress=self._progress,
                on_done=lambda imported, node=node: self._ended(  # type: ignore[misc]
                    BatchItem(node, "done", " ".join(imported.warnings), imported)
                ),
                on_failed=lambda message, _, node=node: self._ended(BatchItem(node, "failed", message)),  # type: ignore[misc]
                on_cancelled=lambda node=node: self._ended(BatchItem(node, "cancelled")),  # type: ignore[misc]
            )
            self.run = SegmentationRun(node, options=self.options, callbacks=callbacks, **self.how)
            try:
                self.run.start()
                return
            except FocusNetError as problem:
                self._tell(BatchItem(node, "failed", str(problem)))
        self.is_running = False
        self.on_finished(self.items)

    def _progress(self, event: ProgressEvent) -> None:
        done = (len(self.items) + event.fraction) / max(1, self.total)
        self.on_progress(
            replace(event, fraction=done, message=f"CT {len(self.items) + 1} of {self.total}. {event.message}")
        )

    def _ended(self, item: BatchItem) -> None:
        self._tell(item)
        self._next()

    def _tell(self, item: BatchItem) -> None:
        self.items.append(item)
        self.on_item(item)


def process_scene(
    scene: Scene,
    wait: bool = True,
    volume_nodes: Sequence[VolumeNode] | None = None,
    **options: Any,
) -> list[BatchItem] | BatchRun:
    """Contour every scalar volume of ``scene`` (or ``volume_nodes``), each into a segmentation of its own. ``wait``: return a list
    of BatchItem; otherwise the BatchRun at once. What is no CT is skipped with its reason. ``options``: as of ``process``."""
    if volume_nodes is None:
        volume_nodes = [
            node
            for i in range(scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode"))
            if (node := scene.GetNthNodeByClass(i, "vtkMRMLScalarVolumeNode")).GetClassName()
            == "vtkMRMLScalarVolumeNode"
        ]
    make_process = SubprocessProcess if wait else default_process
    options.setdefault("process", make_process())
    batch = BatchRun(volume_nodes, **options)
    batch.start()
    return batch.wait(process_events) if wait else batch


def process_events() -> None:
    """Let Slicer's window live while a script waits; nothing where there is no application."""
    application = slicer_application()
    if application is not None:
        application.processEvents()
