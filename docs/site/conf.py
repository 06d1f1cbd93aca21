"""Sphinx builds the pages of docs/ into a site: sphinx-build -W -c docs/site docs OUT (pip install ".[docs]")."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = "https://github.com/focusnet-segmentation/FocusNetSegmentation"

project = "FocusNet Segmentation"
author = "FocusNet Segmentation contributors"
copyright = "FocusNet Segmentation contributors, Apache-2.0"  # noqa: A001  Sphinx reads this name
extensions = ["myst_parser", "sphinx_copybutton"]
exclude_patterns = ["site", "node", "configs"]
source_suffix = {".md": "markdown"}
root_doc = "index"
myst_heading_anchors = 4  # links to headings work as they do on GitHub
myst_url_schemes = ["http", "https", "mailto"]
suppress_warnings = ["misc.highlighting_failure"]  # commands with three dots in them are no valid shell
html_theme = "furo"
html_title = project
html_logo = str(ROOT / "FocusNetSegmentation.png")
html_theme_options = {"source_repository": REPOSITORY, "source_branch": "main", "source_directory": "docs/"}
html_show_sphinx = False
