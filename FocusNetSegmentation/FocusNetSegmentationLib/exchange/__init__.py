"""Export of segmentations, and comparison with a reference."""
