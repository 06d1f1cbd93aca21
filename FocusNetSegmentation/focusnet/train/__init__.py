"""Training: losses, augmentation, stages and one loop. Inference never imports this."""
