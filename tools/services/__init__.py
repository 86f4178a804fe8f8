"""Real servers on loopback for `make test-services`: PostgreSQL, S3, MLflow."""
