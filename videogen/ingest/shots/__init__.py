"""Where a source is cut into shots."""
