"""Datasets as chains of immutable snapshots."""
