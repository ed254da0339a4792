"""One training as one Ray Tune trial: inline in a reused actor, or spread over several by Ray Train."""

import os
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from ray import tune
from ray.exceptions import RayError

from raysearch.config import TrainingConfig
from raysearch.io import read_yaml, write_text
from raysearch.paths import TrialPaths
from raysearch.space import ResourcesConfig
from raysearch.space.schema import SearchObjective
from raysearch.train.hosted import Hosted, train_hosted
from raysearch.train.process import end_with_parent
from raysearch.tune.memory import within_memory

METRIC = "value"
"""Tune's name of what decides: `value_of` a look."""
PROGRESS = "percent"
"""Tune's clock: percent of the trial's own epochs, so that ASHA's rungs mean the same for every trial."""


def value_of(line: Mapping[str, Any], objective: SearchObjective) -> float:
    """What decides at a line of `metrics.jsonl` that holds a look: of student and teacher the better, final head.

    What a trial is worth to the ensemble is known at its end only; until then it is minus its log loss.
    """
    figure = "accuracy" if objective == "accuracy" else "log_loss"
    values = [line["held_out"][f"{role}-final"][figure] for role in ("student", "teacher")]
    best = max(values) if figure == "accuracy" else min(values)
    return -best if objective == "ensemble_gain" else best


def report_of(line: Mapping[str, Any], objective: SearchObjective, epochs: int) -> dict[str, Any]:
    """A line of `metrics.jsonl` as Tune is told of it."""
    return {
        METRIC: value_of(line, objective),
        PROGRESS: 100 * line["epoch"] / epochs,
        "epoch": line["epoch"],
        "epochs": epochs,
        "is_whole": not line.get("partial", False),
        "seconds": line["seconds"],
    }


class WorkersLost(Exception):
    """The trial's workers died, again and again; not an error of its training."""


class InlineReporter:
    """Tells Tune of every look of a training in Tune's own actor; asks it to stop while the stop file stands."""

    def __init__(self, hosted: Hosted, send: Callable[[Mapping[str, Any]], None]) -> None:
        self.hosted, self.report = hosted, send

    def should_stop(self) -> bool:
        return self.hosted.stop.exists()


def trainable(resources: ResourcesConfig, objective: SearchObjective) -> Any:
    """Tune's trainable for configs that are a `Hosted`'s plain values, with what a trial takes of the cluster."""

    def run_trial(config: dict[str, Any]) -> None:
        end_with_parent()
        if not resources.gpus_per_worker:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # on a node with GPUs they belong to others
        hosted = Hosted.of(config)
        paths = TrialPaths(hosted.folder)
        try:
            within_memory(paths, lambda: _train(hosted, resources, objective))
        except (RayError, WorkersLost):
            raise  # it died, and did not fail: without a word in error.txt the searcher goes on with it
        except Exception as error:
            reason = f"{type(error).__name__}: {'; '.join(str(error).splitlines())}"
            write_text(paths.error, "\n\n".join([reason, "".join(traceback.format_exception(error))]))
            raise

    # Of several workers, each has a bundle; the trial itself, which only waits for them, an empty one.
    bundles = [resources.per_worker] * resources.workers
    if resources.workers > 1:
        bundles = [{}, *bundles]
    return tune.with_resources(run_trial, tune.PlacementGroupFactory(bundles))


def _train(hosted: Hosted, resources: ResourcesConfig, objective: SearchObjective) -> None:
    training = TrainingConfig.model_validate(read_yaml(TrialPaths(hosted.folder).config))

    def send(line: Mapping[str, Any]) -> None:
        tune.report(report_of(line, objective, training.trial.total_epochs))

    if resources.workers == 1:
        train_hosted(training, hosted, InlineReporter(hosted, send))
        return
    from raysearch.tune.workers import train_on_workers

    train_on_workers(hosted, resources, send)
