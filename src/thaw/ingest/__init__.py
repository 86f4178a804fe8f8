"""Read, check and split the labelled images that a user brings."""
