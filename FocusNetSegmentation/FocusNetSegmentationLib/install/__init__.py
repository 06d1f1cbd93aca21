"""Find out which packages are missing, and install them."""
