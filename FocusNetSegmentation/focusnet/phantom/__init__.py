"""A synthetic head-and-neck CT with contours, for tests, the demo and the docs."""
