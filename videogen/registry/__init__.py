"""The model registry: the gate, versions in MLflow, and loading them back."""
