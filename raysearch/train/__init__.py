"""One training, from a config to a trial folder. Only `worker` imports Ray, and no module reads a study."""
