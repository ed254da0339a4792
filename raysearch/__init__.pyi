from raysearch.api.model import Model as Model
from raysearch.api.model import load as load
from raysearch.api.study import Study as Study
from raysearch.api.study import open_study as open_study
from raysearch.api.verbs import build_ensemble as build_ensemble
from raysearch.api.verbs import export as export
from raysearch.api.verbs import fit as fit
from raysearch.api.verbs import search as search
from raysearch.ensemble.recipe import Recipe as Recipe
from raysearch.errors import UserError as UserError

__version__: str
