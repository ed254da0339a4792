"""Accuracy against what a user would otherwise pick: the same labels, time and machine. ``make bench-accuracy``."""
