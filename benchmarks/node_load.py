"""200 series from four senders into a DICOM node that is killed, over cables that break, to an archive that goes away. How many are lost?

    python benchmarks/node_load.py [--series 200] [--seed 0] [-o RESULT.json]

The node, its spool, its network and dcmtk's storescu and storescp are real; the series are tiny and the worker is a stand-in that draws
boxes (Testing/Core/stand_in_node.py), so that nothing here says how fast contouring is. Senders do what scanners do: they send a
series again until every image of it was acknowledged in one association.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pydicom
from pydicom.uid import generate_uid

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "FocusNetSegmentation"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from Testing.Core.helpers_node import (
    CutCable,
    NodeProcess,
    dicom_destination,
    free_port,
    settings_text,
    storescp,
    storescu,
    write_series,
)

SENDERS, SLICES = 4, 13
CUT_PART, CUT_BYTES = 0.3, (1_000, 90_000)  # how many tries go over a cable that breaks, and after how much
UP_S, DOWN_S = (6.0, 14.0), (0.0, 2.0)  # the node between its start and its kill, and dead
LONGEST_S = 1500.0


def write_many(folder: Path, count: int) -> dict[str, Path]:
    """Copies of one tiny series under UIDs of their own."""
    _, template = write_series(folder / "template", 0, slices=SLICES)
    slices = [pydicom.dcmread(path) for path in sorted(template.iterdir())]
    made = {}
    for number in range(count):
        place = folder / f"{number:03d}"
        place.mkdir()
        study, series, frame = generate_uid(), generate_uid(), generate_uid()
        for n, data in enumerate(slices):
            data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, frame
            data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            data.save_as(place / f"{n:03d}.dcm")
        made[str(series)] = place
    return made


class Sender(threading.Thread):
    def __init__(self, node: NodeProcess, folders: list[Path], seed: int) -> None:
        super().__init__(daemon=True)
        self.node, self.folders, self.chance = node, folders, random.Random(seed)
        self.tries = self.broken = 0

    def run(self) -> None:
        for folder in self.folders:
            while True:
                self.tries += 1
                cable = None
                if self.chance.random() < CUT_PART:
                    cable = CutCable(self.node.port, self.chance.randint(*CUT_BYTES))
                code = storescu(self.node.port if cable is None else cable.port, folder).returncode
                if cable is not None:
                    cable.close()
                if code == 0:
                    break
                self.broken += 1
                time.sleep(0.5)


def sources(archive: Path) -> dict[str, tuple[str, int]]:
    """SOP instance UID of each structure set in the archive -> the series that it was drawn on, and of how many slices."""
    found = {}
    for path in archive.iterdir():
        try:
            data = pydicom.dcmread(path)
        except Exception:
            continue  # storescp is writing it
        if not data.get("RTROIObservationsSequence"):
            continue
        series = data.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
        found[str(data.SOPInstanceUID)] = (str(series.SeriesInstanceUID), len(series.ContourImageSequence))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="node-load-") as name:
        work = Path(name)
        folders = write_many(work, options.series)
        port = free_port()
        text = settings_text(work / "spool", free_port(), "stand-in", dicom_destination(port), interrupted_seconds=8.0)
        node = NodeProcess(work / "node", text).start()
        print(f"status page: http://127.0.0.1:{node.status_port}/", file=sys.stderr, flush=True)
        begun = time.monotonic()
        places = list(folders.values())
        senders = [Sender(node, places[n::SENDERS], options.seed + n) for n in range(SENDERS)]
        for sender in senders:
            sender.start()
        kills = archive_stops = 0
        while time.monotonic() - begun < LONGEST_S:
            with storescp(work / "archive", port):
                for _ in range(3):
                    time.sleep(chance.uniform(*UP_S))
                    if any(sender.is_alive() for sender in senders):
                        node.kill()
                        kills += 1
                        time.sleep(chance.uniform(*DOWN_S))
                        node.start()
                counts = node.status()["counts"]
                print(f"{time.monotonic() - begun:5.0f} s, {kills} kills: {counts}", file=sys.stderr, flush=True)
            archive_stops += 1
            if counts["done"] == options.series and not any(sender.is_alive() for sender in senders):
                break
        result = judge(work, node, folders)
        result |= {
            "seconds": round(time.monotonic() - begun),
            "senders": SENDERS,
            "associations": sum(sender.tries for sender in senders),
            "associations broken": sum(sender.broken for sender in senders),
            "node killed": kills,
            "archive killed": archive_stops,
        }
        node.kill()
    text = json.dumps(result, indent=1)
    print(text)
    if options.output is not None:
        options.output.write_text(text + "\n")
    sys.exit(1 if result["series lost"] else 0)


def judge(work: Path, node: NodeProcess, folders: dict[str, Path]) -> dict[str, Any]:
    sets = sources(work / "archive")
    whole = {series for series, slices in sets.values() if slices == SLICES}
    objects = Counter(series for series, slices in sets.values() if slices == SLICES)
    return {
        "series sent": len(folders),
        "series lost": len(set(folders) - whole),
        "structure sets in the archive": len(sets),
        "of a part of a series, before the rest came": sum(slices < SLICES for _, slices in sets.values()),
        "series contoured twice with the same content": sum(count > 1 for count in objects.values()),
        "states at the end": node.status()["counts"],
        "patient named in the log": "Secretova" in node.log,
    }


if __name__ == "__main__":
    main()
