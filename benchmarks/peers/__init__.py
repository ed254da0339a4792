"""The other sides of the rows. Scripts here run in .venv-bench; the rest uses our own dependencies."""
