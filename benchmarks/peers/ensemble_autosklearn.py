"""auto-sklearn's EnsembleSelection ("fast") by accuracy, ties broken at random (its default).

auto-sklearn requires scikit-learn 0.24, which does not run on our Python version, and cannot be imported without it.
The selection and the metric do not need it. Both are therefore imported without the packages' ``__init__``, with
stand-ins for names that are used only in annotations or, for MAXINT, in regression metrics. The scikit-learn version is
the one of the other peers.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.peers.ensemble_side import missing, run

PACKAGES = ("autosklearn", "autosklearn.ensembles", "autosklearn.ensemble_building")
STAND_INS: dict[str, dict[str, Any]] = {
    "autosklearn.automl_common.common.utils.backend": {"Backend": object},
    "autosklearn.data.target_validator": {"SUPPORTED_XDATA_TYPES": Any},
    "autosklearn.data.validation": {"SUPPORTED_FEAT_TYPES": Any},
    "autosklearn.pipeline.base": {"BasePipeline": object},
    "smac.utils.constants": {"MAXINT": 2**31 - 1},
}


def register_stand_ins() -> None:
    """Register stand-ins for the imports of the selection. Raises `ImportError` if auto-sklearn is not installed."""
    for name in PACKAGES:
        parent, _, _ = name.rpartition(".")
        spec = PathFinder.find_spec(name, sys.modules[parent].__path__ if parent else None)
        if spec is None or spec.submodule_search_locations is None:
            raise ImportError(f"{name} is not installed")
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__path__ = list(spec.submodule_search_locations)
    for name, members in STAND_INS.items():
        for end in (index for index, letter in enumerate(name) if letter == "."):
            sys.modules.setdefault(name[:end], ModuleType(name[:end]))
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(members)


try:
    register_stand_ins()
    from autosklearn.constants import MULTICLASS_CLASSIFICATION
    from autosklearn.ensembles.ensemble_selection import EnsembleSelection
    from autosklearn.metrics import accuracy
except ImportError as error:
    missing(error)


def select(probs: list[np.ndarray], labels: np.ndarray, rounds: int) -> Sequence[int]:
    selection = EnsembleSelection(MULTICLASS_CLASSIFICATION, accuracy, None, rounds, random_state=0)
    selection.fit(probs, labels, model_identifiers=list(range(len(probs))), runs=[])
    return list(selection.indices_)


if __name__ == "__main__":
    run(select, *sys.argv[1:])
