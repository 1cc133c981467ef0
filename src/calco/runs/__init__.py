"""What every training run has in common: its folder, position, log, checkpoints, limits, and processes."""
