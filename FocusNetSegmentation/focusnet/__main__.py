"""``python -m focusnet`` is the same as ``focusnet``."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
