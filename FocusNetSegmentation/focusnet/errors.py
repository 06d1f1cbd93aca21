"""Errors that are the user's to mend. Each message is one line: what was found, what is expected, what to do."""

from __future__ import annotations


class FocusNetError(Exception):
    """Base of every error that a user can mend. The command line prints it as one line and exits with status 2."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))  # one line, whatever a library's own message held


class InputError(FocusNetError):
    """An image, a folder or an argument that cannot be used as it is."""


class OutputError(FocusNetError):
    """An output that cannot be written: it exists, its folder is missing or not writable, the disk is full."""


class ModelError(FocusNetError):
    """A bundle that is missing, damaged or of another format."""


class DatasetError(FocusNetError):
    """A data set, or one of its cases, that cannot be used as it is."""


class ConfigError(DatasetError):
    """Settings, a configuration file, a checkpoint or an installed library that a training cannot run with.

    A DatasetError, because earlier versions raised that for them: scripts that catch it go on working.
    """


class Cancelled(Exception):  # noqa: N818 - a request of the user, not an error
    """Raised by a progress callback to stop the work; nothing has been written."""
