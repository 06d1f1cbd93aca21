"""Write docs/licences.md: what `pip install focusnet` brings along, and under which licence. Fails where a licence is not known to be compatible.

pip install ".[release]"
python .ci/licences.py [--check]      --check: compare with the page (names and licences, not versions) in place of writing it
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

PAGE = Path(__file__).resolve().parents[1] / "docs" / "licences.md"
# Licences whose terms an Apache-2.0 program may be distributed and used with; MPL's covers its own files alone.
COMPATIBLE = (
    "0BSD", "APACHE", "BSD", "BSL-1.0", "CC0", "HPND", "ISC", "LLVM", "MIT", "MOZILLA PUBLIC LICENSE 2.0", "MPL-2.0", "PSF", "PYTHON SOFTWARE FOUNDATION",
    "UNLICENSE", "ZLIB", "ZPL",
)  # fmt: skip
HEAD = """# Licences of what it needs

FocusNet Segmentation is under the Apache-2.0 licence. `pip install focusnet` brings along the packages below, each under the licence that it
states (`python .ci/licences.py` wrote this page; CI compares it). All may be used and passed on with this program. Nothing of them is copied into
this repository or into its wheel.

Not in the table, since they depend on the machine: PyTorch's build for NVIDIA cards fetches NVIDIA's CUDA libraries (`nvidia-*`, under NVIDIA's own
terms) and Triton (MIT). The extras bring more: `pip-licenses` lists an environment.

| package | licence |
|---|---|
"""


def needed() -> list[str]:
    """Return the names of the installed packages that focusnet needs, with what they need."""
    found: set[str] = set()
    todo = ["focusnet"]
    while todo:
        for line in metadata.requires(todo.pop()) or ():
            wanted = Requirement(line)
            name = re.sub(r"[-_.]+", "-", wanted.name).lower()
            if name not in found and (wanted.marker is None or wanted.marker.evaluate({"extra": ""})):
                found.add(name)
                todo.append(name)
    return sorted(name for name in found if not name.startswith(("nvidia-", "cuda-", "triton")))


def licences(names: list[str]) -> dict[str, str]:
    """Return {package: licence} as pip-licenses reads them from the installed packages."""
    said = subprocess.run(
        ["pip-licenses", "--python", sys.executable, "--format=json", "--with-system", "--packages", *names],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {re.sub(r"[-_.]+", "-", row["Name"]).lower(): row["License"] for row in json.loads(said.stdout)}


def main() -> None:
    """Write or compare the page."""
    names = needed()
    found = licences(names)
    if lost := sorted(set(names) - set(found)):
        sys.exit(f"licences: no licence was found for {', '.join(lost)}")
    for name, licence in found.items():
        parts = [part for part in re.split(r"\bAND\b|\bWITH\b|;", licence.upper()) if part.strip(" ()")]
        bad = [
            part for part in parts if not any(any(ok in choice for ok in COMPATIBLE) for choice in part.split(" OR "))
        ]
        if bad:
            sys.exit(
                f"licences: {name} is under {licence!r}, which is not known to be compatible; see COMPATIBLE in {__file__}"
            )
    rows = [f"| {name} | {found[name]} |" for name in sorted(found)]
    if "--check" in sys.argv[1:]:
        listed = {
            line.split("|")[1].strip()
            for line in PAGE.read_text(encoding="utf-8").splitlines()
            if line.startswith("| ")
        }
        if unlisted := sorted(set(found) - listed):
            sys.exit(f"licences: docs/licences.md does not list {', '.join(unlisted)}; run python .ci/licences.py")
    else:
        PAGE.write_text(HEAD + "\n".join(rows) + "\n", encoding="utf-8")
    print(f"licences: {len(found)} packages, all compatible")


if __name__ == "__main__":
    main()
