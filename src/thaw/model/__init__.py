"""The model: an ordered list of blocks and a head."""
