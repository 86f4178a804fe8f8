"""The typed sections of params.yaml."""
