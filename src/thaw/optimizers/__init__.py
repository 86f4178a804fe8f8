"""Optimisers: their names and what builds them, defined once."""
