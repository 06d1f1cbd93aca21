"""The lists in FocusNetSegmentation/CMakeLists.txt and the files that they must name: Slicer packages nothing that is not listed.

``python -m Testing.Slicer.helpers_packaging`` writes the lists anew from the files on disk.
"""

from __future__ import annotations

import re

from ..paths import MODULE

CMAKE = MODULE / "CMakeLists.txt"
SCRIPTS, RESOURCES = "MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES"


def files_on_disk() -> dict[str, list[str]]:
    """Paths relative to the module's folder, sorted: every script, everything below Resources/, and the engine's tables and templates."""
    scripts = [p.relative_to(MODULE).as_posix() for p in MODULE.rglob("*.py")]
    engine = MODULE / "focusnet"
    data = [*(MODULE / "Resources").rglob("*"), *engine.rglob("*.json"), *engine.rglob("templates/*")]
    resources = [p.relative_to(MODULE).as_posix() for p in data if p.is_file()]

    def hidden(path: str) -> bool:
        return any(part.startswith((".", "__pycache__")) for part in path.split("/"))

    return {
        SCRIPTS: sorted(p for p in scripts if not hidden(p)),
        RESOURCES: sorted(p for p in resources if not hidden(p)),
    }


def listed(text: str | None = None) -> dict[str, list[str]]:
    """What CMakeLists.txt names now."""
    text = CMAKE.read_text(encoding="utf-8") if text is None else text
    found = {}
    for name in (SCRIPTS, RESOURCES):
        match = re.search(rf"set\({name}\n(.*?)\n\s*\)", text, re.DOTALL)
        assert match is not None, f"{CMAKE.name} has no set({name} ...)"
        found[name] = [line.strip().replace("${MODULE_NAME}", MODULE.name) for line in match.group(1).splitlines()]
    return found


def write_lists() -> None:
    """Replace both lists by the files on disk."""
    text = CMAKE.read_text(encoding="utf-8")
    for name, files in files_on_disk().items():
        body = "\n".join(f"  {path}" for path in files)
        text = re.sub(rf"set\({name}\n.*?\n\s*\)", f"set({name}\n{body}\n  )", text, flags=re.DOTALL)
    CMAKE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_lists()
