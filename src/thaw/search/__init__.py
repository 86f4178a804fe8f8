"""Search: which parameters are best, over activations that are computed once."""
