"""What people read and look at: previews, and one self-contained page."""
