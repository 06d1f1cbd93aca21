"""The worker process: progress, cancel, crashes. Real child processes; small scripts stand in for ``focusnet`` (test doubles)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from FocusNetSegmentationLib import process_tree, worker_protocol
from FocusNetSegmentationLib.process_tree import is_alive, kill_tree
from FocusNetSegmentationLib.worker import OUT_OF_MEMORY, QtProcess, State, SubprocessProcess, Worker, WorkerBusyError
from FocusNetSegmentationLib.worker_protocol import (
    LineParser,
    ProgressEvent,
    WorkerRequest,
    explain_end,
    focusnet_command,
    parse_line,
    worker_environment,
)

posix = pytest.mark.skipif(os.name != "posix", reason="signals are a matter of Linux and macOS")

# Test doubles for the worker: what focusnet would write, then something for each test.
PREAMBLE = """
import json, os, signal, subprocess, sys, time
def say(event, **values): print(json.dumps({"event": event, **values}), file=sys.stderr, flush=True)
out = sys.argv[1]
"""
GOOD = """
say("progress", step="Preparing the scan", fraction=0.0, message="")
say("warning", message="Slices are 6.0 mm apart.")
print("this is no JSON {", file=sys.stderr)
say("progress", step="Segmenting all organs", fraction=0.5, message="slice 20 of 40")
open(out, "w").write("contours")
open(out + ".json", "w").write(json.dumps({"model": {"name": "m"}}))
say("result", segmentation=out, report=out + ".json")
print("a table for people")
"""
FAMILY = """
# a child that ignores SIGTERM, in a session of its own, with a child of its own
grandchild = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
child = f"import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', {grandchild!r}]); print(p.pid, flush=True); time.sleep(600)"
signal.signal(signal.SIGTERM, signal.SIG_IGN)
p = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE, text=True, start_new_session=True)
pids = [os.getpid(), p.pid, int(p.stdout.readline())]
say("progress", step="pids", fraction=0.1, message=" ".join(map(str, pids)))
"""


class Log:
    """What the callbacks were told."""

    def __init__(self) -> None:
        self.progress: list[ProgressEvent] = []
        self.warnings: list[str] = []
        self.ends: list[tuple[Any, ...]] = []
        self.contours = ""

    def done(self, result: Any) -> None:
        self.contours = result.segmentation_path.read_text()
        self.ends.append(("done", result))


@pytest.fixture(params=["subprocess", "qt"])
def process(request: pytest.FixtureRequest) -> Any:
    if request.param == "subprocess":
        return SubprocessProcess()
    core = pytest.importorskip("PySide6.QtCore", reason="QProcess is tested with PySide6, which is not installed")
    application = core.QCoreApplication.instance() or core.QCoreApplication([])
    made = QtProcess(core)
    made.application = application
    return made


@pytest.fixture
def log() -> Log:
    return Log()


def worker_for(process: Any, log: Log, script: str) -> Worker:
    return Worker(
        process,
        command=lambda request: (sys.executable, ["-c", PREAMBLE + script, str(request.output_path)]),
        on_progress=log.progress.append,
        on_warning=log.warnings.append,
        on_done=log.done,
        on_failed=lambda message, details: log.ends.append(("failed", message, details)),
        on_cancelled=lambda: log.ends.append(("cancelled",)),
    )


def request_in(folder: Path) -> WorkerRequest:
    work = folder / "work"
    work.mkdir(exist_ok=True)
    (work / "ct.nrrd").write_text("a patient's scan")
    return WorkerRequest(work / "ct.nrrd", work / "out.seg.nrrd", work / "out.json", "m", work_folder=work)


def run(process: Any, log: Log, script: str, folder: Path) -> Worker:
    worker = worker_for(process, log, script)
    worker.start(request_in(folder))
    assert worker.wait(20), "the run did not end"
    return worker


def wait_for_step(worker: Worker, log: Log, step: str) -> ProgressEvent:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        worker.process.pump(0.05)
        for event in log.progress:
            if event.step == step:
                return event
    raise AssertionError(f"no progress {step!r}; {log.progress} {log.ends}")


def gone(pids: list[int], within_s: float = 2.0) -> bool:
    deadline = time.monotonic() + within_s
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(is_alive, pids))


def test_a_run_tells_its_progress_its_warnings_and_its_result(process: Any, log: Log, tmp_path: Path) -> None:
    worker = run(process, log, GOOD, tmp_path)
    assert [(e.step, e.fraction, e.message) for e in log.progress] == [
        ("Preparing the scan", 0.0, ""),
        ("Segmenting all organs", 0.5, "slice 20 of 40"),
    ]
    assert log.warnings == ["Slices are 6.0 mm apart."]
    ((kind, result),) = log.ends
    assert kind == "done"
    assert worker.state is State.DONE
    assert result.report == {"model": {"name": "m"}}
    assert result.warnings == ("Slices are 6.0 mm apart.",)
    assert log.contours == "contours", "the files are there while the result is imported"
    assert not (tmp_path / "work").exists(), "and gone afterwards, the patient's scan with them"


def test_two_runs_in_a_row(process: Any, log: Log, tmp_path: Path) -> None:
    worker = run(process, log, GOOD, tmp_path)
    worker.start(request_in(tmp_path))
    assert worker.wait(20)
    assert [end[0] for end in log.ends] == ["done", "done"]
    assert log.ends[1][1].warnings == ("Slices are 6.0 mm apart.",), "nothing is left of the first run"


def test_a_second_start_during_a_run_is_refused_and_the_run_goes_on(process: Any, log: Log, tmp_path: Path) -> None:
    worker = worker_for(process, log, 'say("progress", step="on", fraction=0)\ntime.sleep(0.4)' + GOOD)
    worker.start(request_in(tmp_path))
    with pytest.raises(WorkerBusyError, match="running already"):
        worker.start(request_in(tmp_path))
    assert worker.wait(20)
    assert log.ends[0][0] == "done"


@posix
def test_cancel_takes_effect_within_two_seconds_and_leaves_no_process(process: Any, log: Log, tmp_path: Path) -> None:
    worker = worker_for(process, log, FAMILY + "time.sleep(600)")
    worker.start(request_in(tmp_path))
    pids = [int(pid) for pid in wait_for_step(worker, log, "pids").message.split()]
    assert all(map(is_alive, pids))
    started = time.monotonic()
    worker.cancel()
    assert time.monotonic() - started < 2.0
    assert gone(pids, 0.5), "children that ignore SIGTERM, in sessions of their own, are gone too"
    assert log.ends == [("cancelled",)]
    assert not (tmp_path / "work").exists()
    worker.process.pump(0.2)
    assert len(log.ends) == 1, "nothing more is told of a run that was cancelled"


@posix
@pytest.mark.parametrize("kind", ["psutil", "without psutil"])
def test_children_of_a_dead_parent_are_found(kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if kind == "without psutil":
        monkeypatch.setattr(process_tree, "psutil", None)
        if sys.platform != "linux":
            pytest.skip("only Linux shows other processes' environment without psutil")
    run, other = uuid.uuid4().hex, uuid.uuid4().hex
    family = subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + FAMILY + "os._exit(0)", "out"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **worker_environment(run)},
    )
    assert family.stderr is not None
    pids = [int(pid) for pid in json.loads(family.stderr.readline())["message"].split()]
    family.wait(10)
    assert not is_alive(pids[0])
    assert is_alive(pids[2], run)
    assert not is_alive(pids[2], other), "a process id that the system uses again is not mistaken"
    assert kill_tree(pids[0], run) == []
    assert gone(pids)


@posix
def test_what_a_finished_worker_left_behind_is_killed_too(process: Any, log: Log, tmp_path: Path) -> None:
    run(process, log, FAMILY + GOOD + "os._exit(0)", tmp_path)
    assert log.ends[0][0] == "done"
    assert gone([int(pid) for pid in log.progress[0].message.split()])


@posix
@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "The segmentation crashed. Try again"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "most likely because memory ran out"),
        ("os.kill(os.getpid(), signal.SIGILL)", "lacks an instruction"),
        ("os.kill(os.getpid(), signal.SIGTERM)", "stopped from outside"),
        # a launcher that hides its child's signal: only the words on stderr are left
        ("subprocess.run([sys.executable, '-X', 'faulthandler', '-c', 'import os; os.kill(os.getpid(), 11)']); sys.exit(1)", "The segmentation crashed"),
        ("raise MemoryError", "The computer ran out of memory"),
        ("raise ModuleNotFoundError(\"No module named 'torch'\")", "Open Installation and press Install"),
        ("raise OSError(28, 'No space left on device')", "The disk is full"),
        ("print('CUDA out of memory. Tried to allocate 2 GiB', file=sys.stderr); sys.exit(1)", "The GPU ran out of memory"),
        ("sys.exit(7)", "exit status 7"),
        ("pass", "ended without a result"),
    ],
)  # fmt: skip
def test_a_crash_is_a_readable_message_with_details_and_no_files(
    script: str, sentence: str, log: Log, tmp_path: Path
) -> None:
    worker = run(SubprocessProcess(), log, 'print("last words", file=sys.stderr, flush=True)\n' + script, tmp_path)
    ((kind, message, details),) = log.ends
    assert kind == "failed"
    assert worker.state is State.FAILED
    assert sentence in message
    assert "Traceback" not in message
    assert "\n" not in message
    assert "last words" in details
    assert not (tmp_path / "work").exists()


@posix
def test_qprocess_and_subprocess_tell_the_same_of_a_crash(process: Any, log: Log, tmp_path: Path) -> None:
    run(process, log, "os.kill(os.getpid(), signal.SIGKILL)", tmp_path)
    assert "most likely because memory ran out" in log.ends[0][1]


def test_the_users_mistake_is_told_in_the_engines_words(process: Any, log: Log, tmp_path: Path) -> None:
    run(process, log, 'say("error", message="Model x is not there.", status=2)\nsys.exit(2)', tmp_path)
    assert log.ends == [("failed", "Model x is not there.", "")]


def test_a_failure_after_retries_tells_what_was_tried(log: Log, tmp_path: Path) -> None:
    script = """
say("progress", step="Out of memory", fraction=0.05, message="cuda: out of memory with chunks of 40 slices, trying 20")
say("error", message="Out of memory even on the CPU; close other programs.", status=2)
sys.exit(2)
"""
    run(SubprocessProcess(), log, script, tmp_path)
    assert log.ends[0][2] == "Out of memory: cuda: out of memory with chunks of 40 slices, trying 20"


def test_the_engine_calls_its_retry_by_the_name_that_is_looked_for() -> None:
    source = (worker_protocol.LIBRARY_FOLDER / "focusnet" / "pipeline.py").read_text(encoding="utf-8")
    assert f'Progress("{OUT_OF_MEMORY}"' in source


def test_a_program_that_is_not_there_is_a_failure_and_not_an_exception(process: Any, log: Log, tmp_path: Path) -> None:
    worker = worker_for(process, log, "")
    worker.command = lambda _: (str(tmp_path / "no-such-python"), [])
    worker.start(request_in(tmp_path))
    assert worker.wait(10)
    assert log.ends[0][0] == "failed"
    assert "could not be started" in log.ends[0][1]
    assert not (tmp_path / "work").exists()
    worker.command = lambda request: (sys.executable, ["-c", PREAMBLE + GOOD, str(request.output_path)])
    worker.start(request_in(tmp_path))
    assert worker.wait(20)
    assert log.ends[1][0] == "done", "the next run works"


def test_closing_slicer_during_a_run_kills_it_and_calls_nobody(process: Any, log: Log, tmp_path: Path) -> None:
    worker = worker_for(
        process, log, 'say("progress", step="pids", fraction=0, message=str(os.getpid()))\ntime.sleep(600)'
    )
    worker.start(request_in(tmp_path))
    pid = int(wait_for_step(worker, log, "pids").message)
    worker.close()
    assert gone([pid])
    assert log.ends == []
    assert not (tmp_path / "work").exists()


def test_a_callback_may_cancel_the_run_that_it_is_told_of(process: Any, log: Log, tmp_path: Path) -> None:
    worker = worker_for(process, log, GOOD)
    worker.on_progress = lambda _: worker.cancel()
    worker.start(request_in(tmp_path))
    assert worker.wait(20)
    assert log.ends == [("cancelled",)]


def test_the_next_run_may_start_where_the_last_one_ends(process: Any, log: Log, tmp_path: Path) -> None:
    worker = worker_for(process, log, GOOD)

    def again(result: Any) -> None:
        log.done(result)
        if len(log.ends) == 1:
            (tmp_path / "second").mkdir()
            worker.start(request_in(tmp_path / "second"))

    worker.on_done = again
    worker.start(request_in(tmp_path))
    assert worker.wait(20)
    assert [end[0] for end in log.ends] == ["done", "done"]
    assert not (tmp_path / "work").exists()
    assert not (tmp_path / "second" / "work").exists()


def test_garbage_floods_and_split_characters_do_no_harm(process: Any, log: Log, tmp_path: Path) -> None:
    script = """
sys.stderr.buffer.write(bytes(range(256)) * 2000 + b'\\n[1]\\n{"event": 7}\\n{"event": "progress", "fraction": NaN}\\n' + b'{' * 3000 + b'\\n')
sys.stderr.buffer.write('{"event": "warning", "message": "über'.encode()[:-5]); sys.stderr.flush(); time.sleep(0.05)
sys.stderr.buffer.write('über'.encode()[:1]); sys.stderr.flush(); time.sleep(0.05)
sys.stderr.buffer.write('über'.encode()[1:] + b'"}\\r\\n'); sys.stderr.flush()
for i in range(20000): print("x" * 100)
"""
    run(process, log, script + GOOD, tmp_path)
    assert log.ends[0][0] == "done"
    assert log.warnings[0] == "über"
    assert log.progress[0] == ProgressEvent("", 0.0)


def test_what_is_kept_of_a_flood_is_bounded() -> None:
    parser = LineParser()
    for _ in range(100):
        parser.feed(b"noise " * 100 + b"\n" + b"y" * 100_000)
    for _ in range(100):
        parser.feed(b"z" * 100_000)  # ten megabytes without a line end
    assert sum(map(len, parser.details)) + len(parser._rest) < 2_500_000
    parser.feed(b"\nlast\n", final=True)
    assert parser.details[-1] == "last"


def test_nothing_is_told_of_a_cancelled_run_that_spoke_on(process: Any, log: Log, tmp_path: Path) -> None:
    worker = worker_for(process, log, 'while True: say("progress", step="on", fraction=0.5)')
    worker.start(request_in(tmp_path))
    wait_for_step(worker, log, "on")
    time.sleep(0.1)  # words are waiting to be delivered
    worker.cancel()
    told = len(log.progress)
    for _ in range(10):
        worker.process.pump(0.02)
    assert len(log.progress) == told


def test_a_message_cut_anywhere_is_read() -> None:
    line = (
        json.dumps({"event": "progress", "step": "Überlagern", "fraction": 0.25}, ensure_ascii=False).encode() + b"\n"
    )
    for cut in range(len(line) + 1):
        parser = LineParser()
        assert [*parser.feed(line[:cut]), *parser.feed(line[cut:])] == [ProgressEvent("Überlagern", 0.25)], cut


@pytest.mark.parametrize("value", [-1, 2, "half", None, True, float("inf")])
def test_a_fraction_is_always_between_0_and_1(value: object) -> None:
    event = parse_line(json.dumps({"event": "progress", "step": "s", "fraction": value}))
    assert isinstance(event, ProgressEvent)
    assert 0.0 <= event.fraction <= 1.0


def test_windows_crashes_are_explained() -> None:
    assert "access violation" in explain_end(-1073741819, True, "")
    assert "half installed" in explain_end(1, False, "ImportError: DLL load failed while importing _C")


def test_the_command_is_focusnet_in_this_python(tmp_path: Path) -> None:
    request = WorkerRequest(
        tmp_path / "ct.nrrd", tmp_path / "o.seg.nrrd", tmp_path / "r.json", "m", "cpu", ("Eye_L", "Lens_R")
    )
    program, arguments = focusnet_command(request, "PythonSlicer")
    assert program == "PythonSlicer"
    assert arguments[2:] == [
        "segment", str(tmp_path / "ct.nrrd"), "-o", str(tmp_path / "o.seg.nrrd"), "--report", str(tmp_path / "r.json"),
        "--model", "m", "--device", "cpu", "--json-progress", "--organs", "Eye_L,Lens_R",
    ]  # fmt: skip


def test_slicers_python_is_found_first_and_this_one_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert worker_protocol.find_python() == sys.executable
    monkeypatch.setattr(sys, "executable", str(tmp_path / "SlicerApp-real"))
    assert "python" in Path(worker_protocol.find_python()).name, (
        "an application that holds Python: the one it was made of"
    )
    (tmp_path / "PythonSlicer").touch(mode=0o755)
    assert worker_protocol.find_python() == str(tmp_path / "PythonSlicer")
    (tmp_path / "PythonSlicer").unlink()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="PythonSlicer was not found"):
        worker_protocol.find_python()


def test_focusnet_itself_refuses_in_one_line(log: Log, tmp_path: Path) -> None:
    """The real command line in a real child: what it says of a model that is not there reaches the user as it is."""
    pytest.importorskip("torch", reason="the worker's Python needs torch")
    worker = worker_for(SubprocessProcess(), log, "")
    worker.command = lambda request: focusnet_command(request, sys.executable)
    request = request_in(tmp_path)
    worker.start(
        WorkerRequest(
            request.input_path,
            request.output_path,
            request.report_path,
            "no-such-model",
            work_folder=request.work_folder,
        )
    )
    assert worker.wait(60)
    assert "No model 'no-such-model'" in log.ends[0][1], log.ends


@pytest.fixture
def orphan(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """``worker_child`` around a stand-in for focusnet that would run for ten minutes."""
    (tmp_path / "focusnet").mkdir()
    (tmp_path / "focusnet" / "__init__.py").touch()
    (tmp_path / "focusnet" / "cli.py").write_text(
        "import time\ndef main(a):\n    print('on', flush=True)\n    time.sleep(600)\n    return 0\n"
    )
    work = tmp_path / "work"
    work.mkdir()
    environment = {**os.environ, **worker_environment("orphan", work)}
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), environment["PYTHONPATH"]])
    child = subprocess.Popen(
        [sys.executable, "-m", worker_protocol.CHILD_MODULE, "segment"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline().strip() == b"on"
    yield child, work
    child.kill()
    child.wait()


def test_the_worker_ends_and_cleans_up_when_slicer_crashes(orphan: tuple[subprocess.Popen[bytes], Path]) -> None:
    child, work = orphan
    assert child.stdin is not None
    child.stdin.write(worker_protocol.HANDSHAKE)
    child.stdin.flush()
    time.sleep(0.2)
    assert child.poll() is None, "it runs as long as its parent holds the pipe"
    child.stdin.close()  # what the system does when the parent dies
    child.wait(5)
    assert not work.exists()


def test_a_launcher_that_gives_no_stdin_does_not_end_the_worker(orphan: tuple[subprocess.Popen[bytes], Path]) -> None:
    child, _ = orphan
    assert child.stdin is not None
    child.stdin.close()
    time.sleep(0.5)
    assert child.poll() is None


def test_the_watch_does_not_disturb_a_normal_end() -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", worker_protocol.CHILD_MODULE, "--version"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **worker_environment("v")},
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdin.write(worker_protocol.HANDSHAKE)
    child.stdin.flush()
    assert child.wait(20) == 0
    assert child.stdout.read().startswith(b"focusnet ")
    assert child.stderr.read() == b""
