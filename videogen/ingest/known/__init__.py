"""What is known of sources from before, and what becomes of them."""
