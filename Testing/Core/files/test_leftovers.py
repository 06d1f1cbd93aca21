"""What a killed run leaves is removed by the next run in that folder, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from focusnet.files.atomic_write import atomic_path
from focusnet.files.leftovers import _cleaned, clean, clean_folders, temporary_name

WRITE_FOREVER = """
import sys, time
from focusnet.files.atomic_write import atomic_path
with atomic_path(sys.argv[1]) as partial:
    partial.write_text("half")
    print("writing", flush=True)
    time.sleep(1000)
"""


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def writer(path: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": ":".join(p for p in sys.path if p)}
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE_FOREVER, str(path)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


def test_the_picture_of_a_killed_run_is_removed_by_the_next_run_and_one_at_work_is_not(tmp_path: Path) -> None:
    killed, working = writer(tmp_path / "p8.png"), writer(tmp_path / "p9.png")
    killed.kill()
    killed.wait()
    assert len(hidden(tmp_path)) == 2
    with atomic_path(tmp_path / "other.json") as partial:
        partial.write_text("whole")
    assert [name.split("-")[0] for name in hidden(tmp_path)] == [".p9"]
    working.kill()
    working.wait()


def test_files_of_people_and_of_other_machines_stay(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    ours = temporary_name("a", ".png").replace(f"{os.getpid():08x}", f"{gone.pid:08x}")
    host = ours.split("-")[1][:4]
    other = ours.replace(f"-{host}", f"-{'0000' if host != '0000' else '1111'}")
    for name in (ours, other, ".a-note.png", ".bashrc", "a-1234.png"):
        (tmp_path / name).touch()
    _cleaned.discard(tmp_path)
    clean(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted((other, ".a-note.png", ".bashrc", "a-1234.png"))


def test_folders_of_dead_processes_go_and_those_of_other_machines_only_when_they_are_old(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    mine = temporary_name("case", "")
    dead = temporary_name("case", "").replace(f"{os.getpid():08x}", f"{gone.pid:08x}")
    host = dead.split("-")[1][:4]
    fresh = dead.replace(f"-{host}", f"-{'0000' if host != '0000' else '1111'}")
    old = fresh.replace(".case", ".gone")
    for name in (mine, dead, fresh, old, ".git"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ct.nrrd").touch()
    os.utime(tmp_path / old, (0, 0))
    clean_folders(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted((mine, fresh, ".git"))
