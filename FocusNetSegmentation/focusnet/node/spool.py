"""Received series on disk. The file system is the truth: what is acknowledged has been fsynced and renamed into its place.

::

    SPOOL/lock                                   held by the running node
    SPOOL/incoming/*.part; "work" beside it        unfinished; removed at start
    SPOOL/series/UID/instances/SOPUID_DIGEST.dcm
    SPOOL/series/UID/state.json                  what happens next; replaced whole
    SPOOL/series/UID/out_CONTENT/                structure sets and result.json; appears whole, by one rename

State is one small JSON file beside the images, not a database: it goes where they go, is replaced by one rename, needs no recovery
after a power cut, and a person can read it. Which instances are there is never written down: their names say it.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..files.atomic_write import ensure_folder
from ..files.disk import is_full
from ..files.lock import lock_file
from .instance import Instance, series_content

RECEIVING, QUEUED, CONTOURING, SENDING = "receiving", "queued", "contouring", "sending"
DONE, IGNORED, FAILED, INCOMPLETE, UNSENT = "done", "ignored", "failed", "incomplete", "unsent"
AT_WORK = (RECEIVING, QUEUED, CONTOURING, SENDING)
STATES = (*AT_WORK, DONE, IGNORED, FAILED, INCOMPLETE, UNSENT)
RESULT = "result.json"


class SpoolFull(Exception):  # noqa: N818 - a state of the disk, told to the sender
    """Neither the disk nor the spool's limit leaves room, and nothing that is done with is left to remove."""


@dataclass
class Series:
    """One series. Fields up to ``changed`` are saved; times are seconds since 1970."""

    uid: str
    study_uid: str = ""
    state: str = RECEIVING
    reason: str = ""
    sender: str = ""
    rule: dict[str, Any] = field(default_factory=dict)
    content: str = ""
    tries: int = 0
    not_before: float = 0.0
    ended: bool = False  # the last association that brought instances was released, not cut
    outputs: dict[str, str] = field(default_factory=dict)  # file name -> sha256
    sent: dict[str, float] = field(default_factory=dict)  # destination -> when
    delivered: list[str] = field(default_factory=list)  # contents whose structure sets are where they belong
    received: float = field(default_factory=time.time)
    changed: float = field(default_factory=time.time)
    # only in memory
    instances: dict[str, str] = field(default_factory=dict, repr=False)
    bytes: int = 0
    open: set[int] = field(default_factory=set)  # associations that are bringing it
    last_received: float = field(default_factory=time.monotonic)
    expected: int | None = None  # what the peer said by C-FIND
    asked: float = 0.0

    def saved(self) -> dict[str, Any]:
        values = asdict(self)
        for name in ("instances", "bytes", "open", "last_received", "expected", "asked"):
            del values[name]
        return values


class Spool:
    """All series by UID. Every change goes through here, under one lock; ``lock`` may be held for several steps."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder, self.limit_bytes = folder, limit_bytes
        self.lock = threading.RLock()
        self.series: dict[str, Series] = {}
        for name in ("incoming", "work", "series"):
            ensure_folder(folder / name)
        try:
            self._held = lock_file(folder / "lock")
        except OSError as problem:
            raise OutputError(
                f"{folder} is in use by another focusnet node; stop that one or name another spool."
            ) from problem
        for rest in (*(folder / "incoming").iterdir(), *(folder / "work").iterdir()):
            remove(rest)
        for place in sorted((folder / "series").iterdir()):
            if place.is_dir():
                self.series[place.name] = self._load(place)

    def close(self) -> None:
        self._held.close()

    # -- places

    def place(self, series: Series) -> Path:
        return self.folder / "series" / series.uid

    def files(self, series: Series) -> list[Path]:
        return sorted((self.place(series) / "instances").glob("*.dcm"))

    def out(self, series: Series) -> Path:
        return self.place(series) / f"out_{series.content}"

    def new_work(self) -> Path:
        work = self.folder / "work" / uuid.uuid4().hex
        work.mkdir()
        return work

    def used_bytes(self) -> int:
        with self.lock:
            return sum(series.bytes for series in self.series.values())

    # -- receiving

    def store(self, instance: Instance, encoded: bytes, sender: str, association: int) -> str:
        """Keep an instance; return "new", "changed" or "known". When this returns, a power cut cannot take the instance any more.

        Raises SpoolFull, OSError.
        """
        with self.lock:
            known = self._begin(instance, sender, association)
        if known:
            return "known"
        part = self._write_part(encoded)
        try:
            with self.lock:
                return self._keep(instance, part, len(encoded), sender, association)
        finally:
            part.unlink(missing_ok=True)

    def _begin(self, instance: Instance, sender: str, association: int) -> bool:
        """Whether the very instance is on disk already. A resend of a series that came to nothing is another try."""
        series = self.series.get(instance.series_uid)
        if series is None or series.instances.get(instance.sop_uid) != instance.digest:
            return False
        series.last_received = time.monotonic()
        # a full disk may have let the instance in but not the state that goes with it
        stale = series.state != RECEIVING and series.content != series_content(series.instances)
        if series.state in (FAILED, INCOMPLETE, IGNORED) or stale or not series.sender:
            self._receive_again(series, sender, association)
        elif series.state == UNSENT:
            self.change(series, state=SENDING, reason="sent to us again", received=time.time())
        elif series.state == RECEIVING:
            self._opened(series, association)
        return True

    def _write_part(self, encoded: bytes) -> Path:
        part = self.folder / "incoming" / f"{uuid.uuid4().hex}.part"
        while True:
            if self.used_bytes() + len(encoded) <= self.limit_bytes:
                try:
                    with part.open("xb") as handle:
                        handle.write(encoded)
                        handle.flush()
                        os.fsync(handle.fileno())
                    return part
                except OSError as problem:
                    part.unlink(missing_ok=True)
                    if not is_full(problem):
                        raise
            if not self.free_oldest():
                raise SpoolFull("the spool is full")

    def _keep(self, instance: Instance, part: Path, size: int, sender: str, association: int) -> str:
        series = self.series.get(instance.series_uid)
        if series is None:
            series = Series(instance.series_uid, instance.study_uid)
        place = self.place(series) / "instances"
        if not place.is_dir():
            place.mkdir(parents=True, exist_ok=True)
            for folder in (self.folder / "series", place.parent):
                sync_folder(folder)
        self.series[series.uid] = series
        os.replace(part, place / f"{instance.sop_uid}_{instance.digest}.dcm")
        sync_folder(place)
        old = series.instances.get(instance.sop_uid)
        series.instances[instance.sop_uid] = instance.digest
        series.bytes += size
        series.study_uid = instance.study_uid
        series.last_received = time.monotonic()
        if old not in (None, instance.digest):
            before = place / f"{instance.sop_uid}_{old}.dcm"
            series.bytes -= before.stat().st_size
            before.unlink()
        if series.state != RECEIVING or not series.sender:
            self._receive_again(series, sender, association)
        else:
            self._opened(series, association)
        return "new" if old is None else "changed"

    def _receive_again(self, series: Series, sender: str, association: int) -> None:
        series.open.add(association)
        series.expected, series.asked = None, 0.0
        # on disk the state need not be right at once: at start, other instances than the saved content mean "receiving"
        self.change(
            series, state=RECEIVING, reason="", sender=sender, tries=0, ended=False, not_before=0.0, outputs={}, sent={}, received=time.time()
        )  # fmt: skip

    def _opened(self, series: Series, association: int) -> None:
        series.open.add(association)
        if series.ended:
            self.change(series, ended=False)

    def association_ended(self, association: int, released: bool) -> None:
        """Note that an association is over: by release, or cut, in which case its series are waited for longer."""
        with self.lock:
            for series in self.series.values():
                if association in series.open:
                    series.open.discard(association)
                    if series.state == RECEIVING:
                        series.last_received = time.monotonic()
                        self.change(series, ended=released)

    # -- state

    def change(self, series: Series, **values: Any) -> None:
        """Change a series on disk, then in memory. Raises OSError, and then nothing has changed."""
        with self.lock:
            before = {name: getattr(series, name) for name in (*values, "changed")}
            for name, value in {**values, "changed": time.time()}.items():
                setattr(series, name, value)
            try:
                write_json(self.place(series) / "state.json", series.saved())
            except OSError:
                for name, value in before.items():
                    setattr(series, name, value)
                raise

    def snapshot(self) -> list[Series]:
        with self.lock:
            return list(self.series.values())

    def first(self, fits: Callable[[Series], bool]) -> Series | None:
        """Return the series that came first of those that fit."""
        with self.lock:
            return min(filter(fits, self.series.values()), key=lambda s: s.received, default=None)

    def commit_outputs(self, series: Series, content: str, work: Path) -> None:
        """Give a worker's finished folder its place, by one rename. Raises OSError."""
        out = self.place(series) / f"out_{content}"
        remove(out)
        for file in work.iterdir():
            sync_file(file)
        sync_folder(work)
        os.replace(work, out)
        sync_folder(out.parent)
        series.bytes += folder_bytes(out)

    def results(self, series: Series) -> Iterator[dict[str, Any]]:
        """Yield what was contoured of this series before: ``content``, ``instances``, ``outputs`` ..."""
        for path in sorted(self.place(series).glob(f"out_*/{RESULT}")):
            result = read_json(path)
            if result:
                yield result

    # -- room

    def remove_scans(self, series: Series) -> None:
        """Remove images and structure sets of a series that is done with; what was contoured of it stays known."""
        with self.lock:
            for file in (*self.files(series), *self.place(series).glob("out_*/*.dcm")):
                file.unlink(missing_ok=True)
            series.instances.clear()
            series.bytes = folder_bytes(self.place(series))

    def forget(self, series: Series) -> None:
        with self.lock:
            del self.series[series.uid]
            remove(self.place(series))

    def free_oldest(self) -> bool:
        """Remove the images of the series that has been done or ignored for longest; False if there is none."""
        with self.lock:
            finished = [s for s in self.series.values() if s.state in (DONE, IGNORED) and s.instances and not s.open]
            if not finished:
                return False
            self.remove_scans(min(finished, key=lambda s: s.changed))
            return True

    # -- start

    def _load(self, place: Path) -> Series:
        """Read the state from the disk after a stop of any kind."""
        saved = read_json(place / "state.json")
        names = set(Series.__dataclass_fields__) & set(saved)
        series = Series(**{**{name: saved[name] for name in names}, "uid": place.name})
        for file in sorted((place / "instances").glob("*.dcm"), key=lambda file: file.stat().st_mtime_ns):
            uid, _, digest = file.stem.partition("_")
            if uid in series.instances:  # a stop between rename and removal of a slice that was sent again, changed
                (place / "instances" / f"{uid}_{series.instances[uid]}.dcm").unlink()
            series.instances[uid] = digest
        series.bytes = folder_bytes(place)
        content = series_content(series.instances)
        if series.state not in STATES or (series.instances and series.state != RECEIVING and content != series.content):
            series.state, series.reason, series.ended = RECEIVING, "", False
            series.outputs, series.sent = {}, {}
        if series.state == CONTOURING:
            series.state = QUEUED
        if series.state == UNSENT:
            series.state, series.received = SENDING, time.time()  # whoever starts the node anew may have mended the way
        if series.state == RECEIVING and not series.instances:
            series.state = DONE  # a stop before its first instance had its name; nothing was acknowledged
        return series


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace a JSON file whole, and have it on the disk. Raises OSError."""
    part = path.with_name(f".{path.name}-{uuid.uuid4().hex[:12]}")
    try:
        with part.open("x", encoding="utf-8") as handle:
            json.dump(value, handle)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; an empty one where there is none that can be read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def sync_file(path: Path) -> None:
    with path.open("rb+") as handle:
        os.fsync(handle.fileno())


def sync_folder(path: Path) -> None:
    """Have a folder's list of names on the disk, which a rename alone does not promise."""
    if os.name == "nt":
        return  # folders cannot be opened there; NTFS journals names
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def folder_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def remove(path: Path) -> None:
    """Remove a file or a folder that may be there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
