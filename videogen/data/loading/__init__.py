"""From a snapshot to batches, in an order that one integer decides."""
