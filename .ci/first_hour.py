"""Write docs/first-hour.md: what a new user types in the first hour, and what it prints, as it was just now, trimmed.

    python .ci/first_hour.py OUT_FOLDER [--check]     OUT_FOLDER: new; --check: compare with docs/first-hour.md in place of writing it

The commands run with the focusnet of the active environment. In a comparison numbers and paths may differ, words and exit statuses may not; of
commands that say what a network found, only the statuses are compared: processors round differently.
"""

from __future__ import annotations

import difflib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "first-hour.md"
HEAD = """# The first hour

What a new user types, and what comes back: `python .ci/first_hour.py FOLDER` ran these commands in a new environment after `pip install .` and wrote
this page; CI runs them again and compares. `...` stands for lines that were left out, `[2]` at the end for an exit status other than 0.
The scan is a synthetic phantom, so its scores say nothing about patients.
"""


@dataclass(frozen=True)
class Step:
    """``why`` the user types ``command``; at most ``lines`` lines of what it prints are shown. ``found``: it says what a network found."""

    why: str
    command: str
    lines: int = 14
    found: bool = False


STEPS = (
    Step("## Is it there?", "focusnet --version"),
    Step("", "focusnet", 9),
    Step("A slip of the finger is answered with a guess:", "focusnet segmnet scan -o organs.seg.nrrd"),
    Step("## The demo", "focusnet demo -o demo", 60, found=True),
    Step("## A scan from the hospital's archive\nHere: the phantom as DICOM files.", "focusnet phantom patient --dicom"),
    Step("", "focusnet segment patient/dicom -o organs.seg.nrrd --report report.json --picture overview.png", 24, found=True),
    Step("Which organs to look at first:", "focusnet qa organs.seg.nrrd --ct patient/dicom", 24, found=True),
    Step("## To the planning system", "focusnet export organs.seg.nrrd --ct patient/dicom -o RS.dcm --dicom rtstruct", found=True),
    Step("## How good is it?", "focusnet evaluate organs.seg.nrrd patient/reference.seg.nrrd", 24, found=True),
    Step("## Which models are there?", "focusnet models list", 24),
    Step("## What if something is wrong?\nOne line says what was found, what is expected, and what to do.", "focusnet segment nosuch -o o.seg.nrrd"),
    Step("", "focusnet segment patient/ct.nrrd -o organs.jpg"),
    Step("", "focusnet segment patient/ct.nrrd -o o.seg.nrrd --organs Parotid_Left", found=True),
    Step("", "focusnet datasets check patient", 20),
)  # fmt: skip


def run(step: Step, folder: Path) -> str:
    """Return the block of one command for the page."""
    environment = {
        **os.environ,
        "COLUMNS": "110",
        "NO_COLOR": "1",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2"),
    }
    done = subprocess.run(
        step.command, shell=True, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, check=False
    )  # fmt: skip
    said = re.sub(
        r"\S*/(?:focusnet/models|Resources/Models)\b", "FOLDER/focusnet/models", done.stdout.replace(str(folder), ".")
    )
    printed = [line.rstrip() for line in re.split(r"[\r\n]+", said) if line.strip()]
    shown = printed[: step.lines] + (["..."] if len(printed) > step.lines else [])
    if done.returncode:
        shown.append(f"[{done.returncode}]")
    return "\n".join([*([step.why, ""] if step.why else []), "```", f"$ {step.command}", *shown, "```", ""])


def masked(page: str) -> list[str]:
    """Return the page's lines without what differs from machine to machine: numbers, the processor's or card's name, column widths, and what
    a network found."""
    page = re.sub(r"device \S+.*", "device", page)
    quiet, out = {f"$ {step.command}" for step in STEPS if step.found}, []
    skipping = False
    for line in page.splitlines():
        skipping = line in quiet or (skipping and line != "```")
        if not skipping or line in quiet or re.fullmatch(r"\[\d+\]", line):
            out.append(re.sub(r"\s+", " ", re.sub(r"(?<!\[)[-+]?\d+(\.\d+)*\S*", "#", line)).strip())
    return out


def main() -> None:
    """Run the commands; write or compare the page."""
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True)
    page = HEAD + "\n" + "\n".join(run(step, folder) for step in STEPS)
    if "--check" not in sys.argv[2:]:
        PAGE.write_text(page, encoding="utf-8")
        return
    (folder / "first-hour.md").write_text(page, encoding="utf-8")
    changes = list(
        difflib.unified_diff(
            masked(PAGE.read_text(encoding="utf-8")), masked(page), "docs/first-hour.md", "now", lineterm="", n=1
        )
    )
    if changes:
        print("\n".join(changes))
        sys.exit("first hour: commands print something else now; python .ci/first_hour.py FOLDER writes the page anew.")
    print("first hour: as docs/first-hour.md says")


if __name__ == "__main__":
    main()
