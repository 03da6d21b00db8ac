"""Prefect flows: order, retries, visibility. A task body is one library call."""
