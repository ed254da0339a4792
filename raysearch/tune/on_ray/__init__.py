"""How Ray runs a search. The only folder that imports Ray, with `raysearch/train/worker.py`."""
