"""Files, locks, processes, console output and starting stages."""
