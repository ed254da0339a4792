"""A checkpoint set on one labelled split: figures with their intervals."""
