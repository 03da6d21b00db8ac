"""Where everything that lasts is kept: one protocol, an S3 adapter and a directory adapter."""
