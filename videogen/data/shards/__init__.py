"""Tar shards, and the frames of a clip within."""
