"""Labelled images from any source, decoded once into one memory-mapped cache, in three splits kept apart."""
