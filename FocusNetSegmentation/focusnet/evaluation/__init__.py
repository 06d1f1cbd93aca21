"""Score contours against a reference, organ by organ."""
