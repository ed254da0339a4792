"""Evaluates a checkpoint set or a training on one labelled split: figures with confidence intervals."""
