"""What a worker does with a group of sources."""
