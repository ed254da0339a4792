"""phem's EnsembleSelection by accuracy, in one process, every round kept, ties broken at random (its default)."""

import sys
from collections.abc import Sequence

import numpy as np

from benchmarks.peers.ensemble_side import missing, run

try:
    from phem.base_utils.metrics import make_metric
    from phem.methods.ensemble_selection import EnsembleSelection
    from sklearn.metrics import accuracy_score
except ImportError as error:
    missing(error)


def select(probs: list[np.ndarray], labels: np.ndarray, rounds: int) -> Sequence[int]:
    metric = make_metric(
        accuracy_score,
        metric_name="accuracy",
        maximize=True,
        classification=True,
        always_transform_conf_to_pred=True,
        optimum_value=1,
    )
    selection = EnsembleSelection([], rounds, metric, n_jobs=1, random_state=0, use_best=False)
    selection.ensemble_fit(probs, labels)
    return list(selection.indices_)


if __name__ == "__main__":
    run(select, *sys.argv[1:])
