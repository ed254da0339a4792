"""From a few labelled images and one YAML file to a deployable, honestly scored ensemble."""

__version__ = "0.1.0"
