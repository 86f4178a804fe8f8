"""What the data says about how to train on it."""
