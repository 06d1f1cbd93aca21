"""What leaves the scene or is compared with it."""
