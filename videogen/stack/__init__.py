"""The embedded local services: S3, MLflow, Prefect, Ray."""
