"""MRML nodes: volumes, segmentations and their tags."""
