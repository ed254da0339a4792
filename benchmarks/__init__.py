"""What is claimed to be fast, measured against its peers in one run: ``make bench``."""
