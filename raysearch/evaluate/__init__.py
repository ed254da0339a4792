"""Evaluates a checkpoint set on one labelled split: figures with confidence intervals."""
