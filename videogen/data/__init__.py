"""Videos, frame shards, snapshots, and the resumable loader over them."""
