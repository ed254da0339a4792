"""Loads and verifies checkpoint sets, and predicts class probabilities of images with them."""
