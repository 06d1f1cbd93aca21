"""Curves for TensorBoard, where it is installed (extra ``train``).

Not torch's SummaryWriter: that one writes from a thread of its own, where a full disk becomes a traceback on the screen and half a
record in the file, behind which TensorBoard reads nothing.
"""

from __future__ import annotations

import io
import os
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...files.disk import append_whole


class TensorBoardWriter:
    """One file of events. Every call adds whole records or none. What is there after ``first_step`` is hidden."""

    def __init__(self, folder: Path, first_step: int) -> None:
        # needed by every call; here an installation that lacks them is noticed
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary, self._record_writer = Event, Summary, RecordWriter
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns():020d}.{socket.gethostname()}.{os.getpid()}"
        self.path = folder / name
        now = time.time()
        start = SessionLog(status=SessionLog.START)
        self._append(
            [
                Event(wall_time=now, step=first_step + 1, file_version="brain.Event:2"),
                Event(wall_time=now, step=first_step + 1, session_log=start),
            ]
        )

    def add(self, step: int, values: dict[str, float]) -> None:
        """One point of each curve. Raises OSError."""
        points = [self._summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._append([self._event(wall_time=time.time(), step=step, summary=self._summary(value=points))])

    def _append(self, events: Iterable[Any]) -> None:
        records = io.BytesIO()
        writer = self._record_writer(records)
        for event in events:
            writer.write(event.SerializeToString())
        append_whole(self.path, records.getvalue())


def open_writer(folder: Path, first_step: int) -> TensorBoardWriter | None:
    """None where TensorBoard is not installed. Raises OSError."""
    try:
        return TensorBoardWriter(folder, first_step)
    except ImportError:
        return None
