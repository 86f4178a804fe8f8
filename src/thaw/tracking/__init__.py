"""MLflow runs."""
