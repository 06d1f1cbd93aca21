"""The networks of FocusNetv2. Nothing here knows about training, files or Slicer."""
