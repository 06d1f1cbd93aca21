"""Scans and label maps in memory: volumes, segmentations, organs, orientation, resampling."""
