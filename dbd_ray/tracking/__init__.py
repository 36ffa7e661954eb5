"""MLflow: runs, and reading of the model registry."""
