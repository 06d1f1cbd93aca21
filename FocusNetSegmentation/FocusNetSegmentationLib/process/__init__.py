"""Work outside Slicer's own process."""
