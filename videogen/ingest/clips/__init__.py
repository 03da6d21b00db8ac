"""Which frames of a shot form clips, and which clips are kept."""
