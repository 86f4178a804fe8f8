"""Images: where they come from, what is checked, how they are split, packed and loaded."""
