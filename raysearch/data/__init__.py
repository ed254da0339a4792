"""Labelled images from any source: decoded once into a memory-mapped cache, in the splits train, held_out and test."""
