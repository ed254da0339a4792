"""Ensembles of a study's trials, from stored predictions only: neither torch nor ray is loaded."""
