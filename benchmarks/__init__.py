"""Benchmarks of our speed against other libraries, measured in one run: ``make bench``."""
