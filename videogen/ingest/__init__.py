"""From raw videos to a dataset snapshot."""
