"""The running node: threads that take each series from one state to the next. Whatever stops them, the spool knows where to go on.

=============  ==========================================================================================
one thread     ``tend``: is a series complete, which rule fits, what can be removed
per worker     ``contour``: queued -> contouring -> sending, or failed
per receiver   ``deliver``: sending -> done, or unsent
=============  ==========================================================================================
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..jobs.worker_process import WorkerDied, WorkerProcess
from .completeness import Arrival, Verdict, judge
from .find import count_instances
from .instance import series_content, series_facts
from .receive import Receiver
from .rules import choose_rule
from .send import NotSent, pause_s, send
from .settings import Destination, Settings
from .spool import (
    CONTOURING,
    DONE,
    FAILED,
    IGNORED,
    INCOMPLETE,
    QUEUED,
    RECEIVING,
    SENDING,
    UNSENT,
    Series,
    Spool,
    read_json,
    remove,
)
from .spool import RESULT as RESULT_FILE
from .worker import COMMAND, DISK, INPUT, file_digest

log = logging.getLogger("focusnet.node")

TICK_S = 0.25
DISK_PAUSE_S = 30.0  # before another try at a series when there was no room
DISK_RETRY_S = 1.0  # before another try at anything when a write failed
TROUBLE_SHOWN_S = 60.0
CLEAN_EVERY_S = 60.0


class Node:
    """A node. ``start`` returns at once; ``stop`` ends it, as would a power cut, only without the noise."""

    def __init__(self, settings: Settings, worker_command: Sequence[str] = COMMAND, tick_s: float = TICK_S) -> None:
        self.settings, self.tick_s = settings, tick_s
        self.spool = Spool(settings.spool, settings.spool_limit_bytes)
        self.receiver = Receiver(settings, self.spool)
        self.workers = [WorkerProcess(worker_command) for _ in range(settings.workers)]
        self.started = time.time()
        self._troubles: dict[str, tuple[str, float]] = {}  # thread -> its last failure and when, such as a full disk
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._attempts: dict[tuple[str, str], tuple[int, float]] = {}  # series, destination -> tries, not before
        self._taken: set[tuple[str, str, str]] = set()  # series, destination, content: taken, but not noted on disk yet
        self._cleaned = 0.0

    def start(self) -> None:
        """Raises OutputError, InputError if it cannot listen."""
        self.receiver.start()
        jobs: list[tuple[str, Callable[[], bool]]] = [("spool", self.tend)]
        jobs += [(f"worker {n}", partial(self.contour_next, worker)) for n, worker in enumerate(self.workers, 1)]
        jobs += [(f"sending to {d.name}", partial(self.deliver_next, d)) for d in self.settings.destinations]
        self._threads = [threading.Thread(target=self._repeat, args=job, name=job[0], daemon=True) for job in jobs]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        self.receiver.stop()
        for worker in self.workers:
            worker.stop()
        for thread in self._threads:
            thread.join(timeout=10)
        self.spool.close()

    def _repeat(self, name: str, step: Callable[[], bool]) -> None:
        """Call ``step`` for ever: at once again while it finds work, else after a tick. Nothing that goes wrong ends the thread."""
        while not self._stop.is_set():
            try:
                found_work = step()
            except OSError as problem:  # a full or a failing disk: wait for room
                self._note_trouble(name, f"the disk cannot be written ({problem.strerror})")
                found_work = False
                self._stop.wait(DISK_RETRY_S)
            except Exception as problem:  # not its text: it may hold what stands in a header
                self._note_trouble(name, f"internal error {type(problem).__name__}")
                log.debug("internal error", exc_info=True)
                found_work = False
                self._stop.wait(DISK_RETRY_S)
            if not found_work:
                self._stop.wait(self.tick_s)

    def _note_trouble(self, name: str, text: str) -> None:
        if text != self._troubles.get(name, ("", 0.0))[0]:
            log.error("%s: %s", name, text)
        self._troubles[name] = (text, time.monotonic())

    def troubles(self) -> list[str]:
        """Return what goes wrong with the node itself now, not with one series."""
        recent = time.monotonic() - TROUBLE_SHOWN_S
        texts = [f"{name}: {text}" for name, (text, when) in self._troubles.items() if when > recent]
        if self.spool.used_bytes() >= self.spool.limit_bytes:
            texts.append("the spool has reached its limit")
        return texts + [f"{t.name} has ended" for t in self._threads if not t.is_alive()]

    # -- complete?

    def tend(self) -> bool:
        self.receiver.note_ended()
        for series in self.spool.snapshot():
            if series.state == RECEIVING:
                self._judge(series)
            elif series.state == SENDING:
                self._check_sent(series)
        if time.monotonic() - self._cleaned > CLEAN_EVERY_S:
            self._cleaned = time.monotonic()
            self.clean(time.time())
        return False

    def _judge(self, series: Series) -> None:
        peer = self.settings.peer(series.sender)
        now = time.monotonic()
        with self.spool.lock:
            if not series.instances:
                return
            arrival = Arrival(
                instances=len(series.instances),
                silent_s=now - series.last_received,
                is_open=bool(series.open),
                ended=series.ended,
                expected=series.expected,
                can_ask=peer is not None and peer.find,
                asked_s=now - series.asked if series.asked else None,
            )
        verdict = judge(arrival, self.settings.quiet_s, self.settings.interrupted_s)
        if verdict is Verdict.ASK and peer is not None:
            expected = count_instances(self.settings, peer, series.study_uid, series.uid)
            series.asked = time.monotonic()
            series.expected = expected
        elif verdict is Verdict.INCOMPLETE:
            reason = f"{arrival.instances} of {arrival.expected} instances came; have it sent again"
            self._finish(series, INCOMPLETE, reason)
        elif verdict is Verdict.COMPLETE:
            self._complete(series, arrival)

    def _complete(self, series: Series, arrival: Arrival) -> None:
        with self.spool.lock:
            if len(series.instances) != arrival.instances:
                return  # something came in between
            content = series_content(series.instances)
            for before in self.spool.results(series):
                if set(series.instances.items()) <= set(before.get("instances", {}).items()):
                    return self._seen_before(series, before)
            try:
                facts = series_facts(self.spool.files(series), series.sender)
            except InputError as problem:
                return self._finish(series, FAILED, str(problem))
            rule, why = choose_rule(self.settings.rules, facts)
            if rule is None:
                return self._finish(series, IGNORED, why)
            note = (
                ""
                if arrival.ended or arrival.expected is not None
                else "its association was cut; no more has come since"
            )
            self.spool.change(series, state=QUEUED, content=content, rule=asdict(rule), reason=note)
        log.info(
            "series %s: %d instances from %s, queued by rule %r%s",
            series.uid,
            arrival.instances,
            series.sender,
            rule.name,
            f" ({note})" if note else "",
        )

    def _seen_before(self, series: Series, before: dict[str, Any]) -> None:
        """The same images again: nothing is contoured. What was not sent yet is sent."""
        out = self.spool.place(series) / f"out_{before['content']}"
        if before["content"] not in series.delivered and all((out / name).is_file() for name in before["outputs"]):
            self.spool.change(
                series, state=SENDING, content=before["content"], outputs=before["outputs"], sent={}, reason=""
            )
        else:
            reason = "sent to us again; was contoured before"
            self.spool.change(series, state=DONE, content=series_content(series.instances), reason=reason)
            self.spool.remove_scans(series)
        log.info("series %s: sent again with the same content; not contoured again", series.uid)

    def _finish(self, series: Series, state: str, reason: str, **values: Any) -> None:
        self.spool.change(series, state=state, content=series_content(series.instances), reason=reason, **values)
        log.log(logging.INFO if state == IGNORED else logging.WARNING, "series %s: %s: %s", series.uid, state, reason)

    # -- contour

    def contour_next(self, worker: WorkerProcess) -> bool:
        """Contour the series that has waited longest; False if there is none."""
        now = time.time()
        with self.spool.lock:
            series = self.spool.first(lambda s: s.state == QUEUED and s.not_before <= now)
            if series is None:
                return False
            result = read_json(self.spool.out(series) / RESULT_FILE)
            if result and self._whole(series, result["outputs"]):  # stopped between the outputs' rename and the state's
                self.spool.change(series, state=SENDING, outputs=result["outputs"])
                return True
            work = self.spool.new_work()
            try:
                self.spool.change(series, state=CONTOURING)
            except OSError:
                remove(work)
                raise
            content, instances, rule = series.content, dict(series.instances), dict(series.rule)
        job = {"uid": series.uid, "scan": str(self.spool.place(series) / "instances"), "out": str(work), "rule": rule, "content": content,
               "instances": instances, "device": self.settings.device, "precision": self.settings.precision}  # fmt: skip
        try:
            answer = worker.ask(job, self.settings.worker_timeout_s)
        except WorkerDied as problem:
            answer = {"ok": False, "kind": "error", "reason": str(problem)}
        except OSError as problem:
            answer = {"ok": False, "kind": DISK, "reason": f"the worker cannot be started ({problem.strerror})"}
        if self._stop.is_set():
            return False  # the worker was stopped with the node: not the series' fault
        try:
            self._contoured(series, content, work, answer)
        except OSError as problem:
            self._put_back(series, f"no room for what was made of it ({problem.strerror})")
            raise
        finally:
            remove(work)
        return True

    def _contoured(self, series: Series, content: str, work: Path, answer: dict[str, Any]) -> None:
        with self.spool.lock:
            if series.state != CONTOURING or series_content(series.instances) != content:
                log.info("series %s: more of it came while it was contoured; it will be contoured again", series.uid)
            elif answer["ok"]:
                self.spool.commit_outputs(series, content, work)
                self.spool.change(series, state=SENDING, outputs=answer["outputs"], reason="", tries=0)
                found, left_out = len(answer["found"]), len(answer["left_out"])
                log.info(
                    "series %s: contoured in %s s, %d organs, %d not found and left out",
                    series.uid,
                    answer["seconds"],
                    found,
                    left_out,
                )
            elif answer["kind"] == INPUT:
                self._finish(series, FAILED, answer["reason"])
            elif answer["kind"] == DISK:
                self._put_back(series, answer["reason"])
            else:
                self._failed_once(series, answer["reason"])

    def _failed_once(self, series: Series, reason: str) -> None:
        tries = series.tries + 1
        if tries >= self.settings.tries:
            self._finish(series, FAILED, f"{reason} (tried {tries} times)", tries=tries)
            return
        not_before = time.time() + pause_s(tries, self.settings)
        self.spool.change(series, state=QUEUED, tries=tries, reason=reason, not_before=not_before)
        log.warning("series %s: %s; try %d of %d follows", series.uid, reason, tries + 1, self.settings.tries)

    def _put_back(self, series: Series, reason: str) -> None:
        """No room is nobody's fault: the series waits, in memory only where the state itself cannot be written."""
        self._note_trouble("worker", reason)
        self.spool.free_oldest()
        with self.spool.lock:
            if series.state == CONTOURING:
                series.state, series.reason, series.not_before = QUEUED, reason, time.time() + DISK_PAUSE_S

    def _whole(self, series: Series, outputs: dict[str, str]) -> bool:
        """Whether the structure sets are on disk as the worker left them."""
        out = self.spool.out(series)
        return bool(outputs) and all(
            (out / name).is_file() and file_digest(out / name) == digest for name, digest in outputs.items()
        )

    # -- send

    def deliver_next(self, destination: Destination) -> bool:
        """Send one series' structure sets to a destination; False if none waits for it."""
        now = time.time()
        series = self.spool.first(
            lambda s: (
                s.state == SENDING
                and destination.name in s.rule["to"]
                and destination.name not in s.sent
                and self._attempts.get((s.uid, destination.name), (0, 0.0))[1] <= now
            )
        )
        if series is None:
            return False
        key = (series.uid, destination.name)
        with self.spool.lock:
            content, outputs = series.content, dict(series.outputs)
            if not self._whole(series, outputs):
                remove(self.spool.out(series))
                self.spool.change(series, state=QUEUED, outputs={}, reason="its structure set was damaged on disk")
                return True
        taken = (series.uid, destination.name, content)
        try:
            if taken not in self._taken:
                send(self.settings, destination, [self.spool.out(series) / name for name in outputs])
        except NotSent as problem:
            self._not_sent(series, destination, content, str(problem))
            return True
        self._attempts.pop(key, None)
        self._taken.add(taken)
        with self.spool.lock:
            if series.state == SENDING and series.content == content:
                self.spool.change(series, sent={**series.sent, destination.name: time.time()}, reason="")
                self._check_sent(series)
        self._taken.discard(taken)
        log.info("series %s: sent to %s", series.uid, destination.name)
        return True

    def _not_sent(self, series: Series, destination: Destination, content: str, reason: str) -> None:
        key = (series.uid, destination.name)
        attempts = self._attempts.get(key, (0, 0.0))[0] + 1
        self._attempts[key] = (attempts, time.time() + pause_s(attempts, self.settings))
        if attempts == 1 or attempts % 10 == 0:
            log.warning("series %s: %s (try %d); it will be tried again", series.uid, reason, attempts)
        with self.spool.lock:
            if series.state == SENDING and series.content == content:
                series.reason = reason
                if time.time() - series.received > self.settings.give_up_s:
                    self._attempts.pop(key)
                    self._finish(series, UNSENT, reason)

    def _check_sent(self, series: Series) -> None:
        """Whether all destinations have it; one that the settings no longer name never will."""
        with self.spool.lock:
            if series.state != SENDING:
                return
            waiting = [name for name in series.rule["to"] if name not in series.sent]
            if not waiting:
                delivered = [*series.delivered, series.content][-10:]
                self.spool.change(series, state=DONE, delivered=delivered, reason="")
            elif not {d.name for d in self.settings.destinations} & set(waiting):
                self._finish(series, UNSENT, f"destination {waiting[0]} is no longer in the settings")

    # -- room

    def clean(self, now: float) -> None:
        """Remove images that are done with, and at last the memory of them."""
        for series in self.spool.snapshot():
            with self.spool.lock:
                age_s = now - series.changed
                if series.state in (DONE, IGNORED) and series.instances and age_s > self.settings.keep_scans_s:
                    self.spool.remove_scans(series)
                elif series.state in (DONE, IGNORED, FAILED, INCOMPLETE, UNSENT) and age_s > self.settings.remember_s:
                    self.spool.forget(series)
