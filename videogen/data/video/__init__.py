"""Video files: reading them right, and writing them."""
