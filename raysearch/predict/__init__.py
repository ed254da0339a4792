"""A checkpoint set, loaded and checked; images to probabilities."""
