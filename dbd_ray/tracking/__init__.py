"""MLflow: the runs that record work, and the registry where models are looked up."""
