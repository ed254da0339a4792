"""The public Python API, which `raysearch/__init__.py` exports."""
