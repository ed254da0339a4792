"""Selects ensembles from the stored predictions of a study's trials. Imports neither torch nor ray."""
