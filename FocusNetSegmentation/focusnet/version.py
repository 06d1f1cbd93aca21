"""The one place of the version; pyproject.toml reads it."""

__version__ = "1.0.0rc1"
