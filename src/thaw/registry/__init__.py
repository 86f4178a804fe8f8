"""Registered models: registration, aliases and their history, fetching, copying."""
