"""Writes a self-contained HTML report of a study, read only from the study's folder."""
