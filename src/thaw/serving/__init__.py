"""Registered models at work: predictions for a folder, a service, exports."""
