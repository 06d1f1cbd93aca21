"""Quality assurance: which organs to look at first and why, and what a person changed. Nothing here is a verdict."""
