"""An ensemble of a study as a checkpoint set: members' weights in timm's layout, checked by predicting again."""

from raysearch.export.check import Check
from raysearch.export.selected import SelectedEnsemble, read_selected
from raysearch.export.write import Refitting, export_set

__all__ = ["Check", "Refitting", "SelectedEnsemble", "export_set", "read_selected"]
