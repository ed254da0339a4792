"""The other sides of the rows. Scripts here run in .venv-bench; the rest uses our own dependencies."""

MISSING = 69
"""Exit status of a script whose peer cannot be imported: EX_UNAVAILABLE of sysexits.h."""
