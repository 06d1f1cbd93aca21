"""A synthetic head-and-neck CT with its reference contours."""
