"""What may be set, and where it comes from."""
