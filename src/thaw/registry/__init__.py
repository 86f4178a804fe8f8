"""What is registered with MLflow and served."""
