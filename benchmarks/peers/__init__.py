"""The peers in the rows. Scripts here run in .venv-bench; other modules use our own dependencies."""

MISSING = 69
"""Exit status of a script whose peer cannot be imported: EX_UNAVAILABLE of sysexits.h."""
