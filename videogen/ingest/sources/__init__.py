"""What there is to ingest: files, objects, sequences, and what is said of them."""
