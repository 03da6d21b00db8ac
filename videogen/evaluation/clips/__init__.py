"""Clips that are judged: real windows, spoiled ones, generated ones, and sets of files."""
