"""Simulate CTs over real contours, for training data sets that come without their CT."""
