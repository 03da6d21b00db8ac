"""Vectors of clips: taken by tasks over a cluster, and kept in the store."""
