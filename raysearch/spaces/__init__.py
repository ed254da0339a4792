"""What ships: search spaces and ensemble recipes."""
