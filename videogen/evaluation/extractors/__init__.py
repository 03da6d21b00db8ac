"""Networks that turn clips into feature vectors, and their weights, by hash."""
