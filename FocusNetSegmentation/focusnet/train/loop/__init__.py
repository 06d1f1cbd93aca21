"""One loop that runs any stage: steps, checkpoints, logs, processes."""
