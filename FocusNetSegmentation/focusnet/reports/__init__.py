"""Pages for people: one case, or many, as one HTML file each that needs nothing else."""
