"""Work in processes of its own, so that a crash or a lack of memory ends one job and nothing else."""
