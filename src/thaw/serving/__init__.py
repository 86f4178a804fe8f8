"""Use registered models: batch prediction, the HTTP service, and export."""
