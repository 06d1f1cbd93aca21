"""``focusnet`` as a child process that ends when its parent does, so that a crash of Slicer leaves nothing running.

Started as ``PythonSlicer -m FocusNetSegmentationLib.process.worker_child segment ...``. The parent writes one line to stdin and keeps the
pipe open. A stdin that ends without that line (a launcher that gives its child none) means nothing.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading

from .worker_protocol import WORK_FOLDER_VARIABLE, parent_has_ended

PARENT_GONE = 3  # exit status, which nobody is left to read


def watch_parent(stdin: int = 0) -> None:
    """Wait for stdin to end, then remove this run's temporary files and end."""
    if not parent_has_ended(stdin):
        return
    folder = os.environ.get(WORK_FOLDER_VARIABLE)
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(PARENT_GONE)


def main() -> int:
    threading.Thread(target=watch_parent, daemon=True).start()
    from focusnet.cli.main import main as focusnet

    return focusnet(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
