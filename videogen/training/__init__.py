"""The training core and its launcher."""
