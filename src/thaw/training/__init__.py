"""Training: one loop, its optimiser, checkpoints and cached activations."""
