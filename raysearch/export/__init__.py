"""An ensemble of a study as a checkpoint set: members' weights in timm's layout, checked by predicting again.

The package is callable: `raysearch.export(study, out)` is `raysearch.api.verbs.export`.
"""

from raysearch.verb_package import make_callable

make_callable(__name__)
