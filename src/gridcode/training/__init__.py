"""What both training loops share: optimiser, checkpoints, log, seeds, signals. Import from the modules."""
