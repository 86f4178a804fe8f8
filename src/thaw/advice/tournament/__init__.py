"""A comparison of inputs, blocks and heads by cross-validation on frozen features."""
