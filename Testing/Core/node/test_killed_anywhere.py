"""The node is killed at each step that touches the disk, one after the other; the next start must lose nothing and send nothing half."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from focusnet.errors import InputError
from focusnet.node import service
from focusnet.node.instance import Instance
from focusnet.node.rules import Rule, SeriesFacts
from focusnet.node.service import Node
from focusnet.node.settings import Destination, Peer, Settings
from focusnet.node.spool import DONE, write_json
from focusnet.node.worker import file_digest

from ..helpers_killed import fork, killed_at, note

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked copies of this process")

UID, SLICES = "1.2.3", 3
CONTOURS = b"a whole structure set" * 100


class Worker:
    """Answers as the worker process does."""

    def ask(self, job: Any, _: float) -> dict[str, Any]:
        out = Path(job["out"])
        (out / "rtstruct.dcm").write_bytes(CONTOURS)
        outputs = {"rtstruct.dcm": file_digest(out / "rtstruct.dcm")}
        write_json(out / "result.json", {"content": job["content"], "instances": job["instances"], "outputs": outputs})
        return {"ok": True, "seconds": 0, "found": ["Brainstem"], "left_out": [], "outputs": outputs}


def node_in(folder: Path) -> Node:
    return Node(
        Settings(
            spool=folder / "spool",
            quiet_s=1e-6,
            interrupted_s=1e-6,
            retry_first_s=1e-6,
            peers=(Peer(ae_title="CT1"),),
            destinations=(Destination(name="archive", ae_title="PACS", port=104),),
            rules=(Rule(name="all", to=("archive",)),),
        )
    )


def life(folder: Path) -> None:
    """A series comes in and goes out; what the outside world saw of it stands in acknowledged/ and sent/."""
    node = node_in(folder)
    for number in range(SLICES):
        node.spool.store(Instance(UID, "1.2", f"1.2.3.{number}", "a" * 32), b"slice" * 100, "CT1", 1)
        note(folder / "acknowledged" / str(number), b"")
    node.spool.association_ended(1, released=True)
    go_on(node)


def go_on(node: Node) -> None:
    for _ in range(3):
        node.tend()
        while node.contour_next(Worker()):  # type: ignore[arg-type]
            pass
        while node.deliver_next(node.settings.destinations[0]):
            pass


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    def send(settings: Settings, destination: Destination, files: list[Path]) -> None:
        for file in files:
            note(
                settings.spool.parent / "sent" / str(len(os.listdir(settings.spool.parent / "sent"))), file.read_bytes()
            )

    facts = SeriesFacts(sender="CT1", modality="CT", description="", body_part="", slice_thickness_mm=None)
    monkeypatch.setattr(service, "send", send)
    monkeypatch.setattr(service, "series_facts", lambda files, sender: facts)


@pytest.mark.usefixtures("outside")
def test_no_acknowledged_instance_is_lost_and_no_half_structure_set_is_sent_wherever_it_is_killed(
    tmp_path: Path,
) -> None:
    for step in itertools.count(1):
        folder = tmp_path / str(step)
        for name in ("", "acknowledged", "sent"):
            (folder / name).mkdir()
        status = fork(killed_at(step, lambda folder=folder: life(folder)))  # type: ignore[misc]
        assert status in (0, 7), f"step {step}"
        node = node_in(folder)
        acknowledged = {f"1.2.3.{name}" for name in os.listdir(folder / "acknowledged")}
        known = node.spool.series[UID].instances if UID in node.spool.series else {}
        assert acknowledged <= set(known), f"step {step}: an acknowledged instance is gone"
        go_on(node)
        if known:
            assert node.spool.series[UID].state == DONE, f"step {step}: {node.spool.series[UID]}"
            sent = [path.read_bytes() for path in (folder / "sent").iterdir()]
            assert sent, f"step {step}: nothing was sent"
            assert set(sent) == {CONTOURS}, f"step {step}: half a structure set was sent"
            assert len(sent) <= 2  # once more, under the same UID, if it was killed between sending and noting it
            outs = list(node.spool.place(node.spool.series[UID]).glob("out_*"))
            assert len(outs) <= 2  # of the part that was there, then of the whole
        node.spool.close()
        if status == 0:
            break
    assert step > 20  # the walk did reach the end


@pytest.mark.usefixtures("outside")
def test_what_was_contoured_before_a_kill_is_not_contoured_again(tmp_path: Path) -> None:
    for name in ("acknowledged", "sent"):
        (tmp_path / name).mkdir()
    life(tmp_path)
    node = node_in(tmp_path)

    class NoWorker:
        def ask(self, *_: Any) -> dict[str, Any]:
            raise InputError("contoured twice")

    for number in range(SLICES):
        node.spool.store(Instance(UID, "1.2", f"1.2.3.{number}", "a" * 32), b"slice" * 100, "CT1", 2)
    node.spool.remove_scans(node.spool.series[UID])
    for number in range(SLICES - 1):  # after the clean-up a part of it comes again, and is cut
        node.spool.store(Instance(UID, "1.2", f"1.2.3.{number}", "a" * 32), b"slice" * 100, "CT1", 3)
    node.spool.association_ended(3, released=False)
    for _ in range(3):
        node.tend()
        assert not node.contour_next(NoWorker())  # type: ignore[arg-type]
    assert node.spool.series[UID].state == DONE
    assert not node.spool.series[UID].instances
    assert len(os.listdir(tmp_path / "sent")) == 1
    node.spool.close()
