"""Puts a search together and runs it to its end, its budgets or Ctrl-C."""

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysearch.config import TrainingConfig
from raysearch.errors import StudyError, UserError
from raysearch.io import display_path, read_yaml
from raysearch.paths import StudyPaths, TrialPaths
from raysearch.space import Space
from raysearch.train.result import read_result
from raysearch.tune import cluster, study
from raysearch.tune.capacity import nodes_of_cluster
from raysearch.tune.listener import Listener
from raysearch.tune.plan import Plan, duration
from raysearch.tune.preflight import AT_LEISURE_S, AT_START_S, check_data, check_trials, example_trials, make_plan
from raysearch.tune.progress import choose_display
from raysearch.tune.stopping import stopping
from raysearch.tune.target import trials_asked_before, trials_wanted
from raysearch.tune.watches import watching


@dataclass(frozen=True)
class Wishes:
    """How a search is run, beside what its space says."""

    out: Path
    """The study's folder goes into it."""
    trials: str | None = None
    """`--trials`: N or +N."""
    resume: bool = False
    address: str | None = None
    """Of a running Ray cluster; None: one of its own on this machine."""
    plan_only: bool = False
    """Plan, and begin nothing."""
    quiet: bool = False
    as_json: bool = False


def search(space: Space, wishes: Wishes, *, where: str) -> tuple[StudyPaths, Space]:
    """Run ``space``, read from the file ``where``, into ``out``/<study>; returns its paths, and the space as run.

    Whatever can be refused is refused before anything is written: `UserError`s.
    """
    began = time.monotonic()
    paths = StudyPaths(wishes.out / space.study)
    study.check_place(paths, space, wishes.resume)
    space = _asked(space, paths, wishes)
    if Path(space.data.source).exists():  # a trial's config holds wherever it is read
        space = space.at(str(Path(space.data.source).resolve()))
    earlier = [result for _, folder in paths.trials() if (result := read_result(folder))]
    carry_out(space, paths, wishes, earlier, where=where, began=began)
    return paths, space


def carry_out(
    space: Space, paths: StudyPaths, wishes: Wishes, earlier: Sequence[Mapping[str, Any]], *, where: str, began: float
) -> None:
    """Run ``space`` in ``paths``, whose place has been checked.

    ``earlier``: the results of its trials that have ended; ``began``: when the command did, by `time.monotonic`.
    """
    examples = example_trials(space)
    dataset, counts, notes = check_data(space, examples)
    check_trials(space, examples, dataset, where)
    with cluster.ray_session(wishes.address):
        limit_s = AT_LEISURE_S if wishes.plan_only else AT_START_S
        plan = make_plan(
            space, examples, dataset, nodes_of_cluster(), where, paths.root, earlier=earlier, limit_s=limit_s
        )
        if wishes.plan_only:
            print("\n".join([*plan.lines(), *(f"note: {note}" for note in [*notes, *plan.notes()])]))
            return
        display = choose_display(
            space.search.objective, space.search.trials, quiet=wishes.quiet, as_json=wishes.as_json, earlier=earlier
        )
        with study.locked(paths):
            study.prepare(paths, space, dataset, counts)
            paths.stop.unlink(missing_ok=True)
            with display, stopping(paths, space.search.timeout_s, began, display):
                for note in [*notes, *plan.notes(), _headline(plan)]:
                    display.noted(note)
                run(space, paths, plan.capacity.trials, display)


def _headline(plan: Plan) -> str:
    hours = plan.hours
    time_ = f", about {duration(hours.about)}" if hours and plan.trials.number else ""
    folds = f" of {plan.folds} folds" if plan.folds > 1 else ""
    return f"{display_path(plan.root)}: {plan.trials.number} trials{folds} to come, {plan.at_once} at once{time_}"


def _asked(space: Space, paths: StudyPaths, wishes: Wishes) -> Space:
    """The space with as many trials as are to be there at the end."""
    if space.ablation is not None:
        if wishes.trials is not None:
            raise UserError(
                f"--trials {wishes.trials}: not for an ablation, which trains every row with every seed; "
                "--set ablation.seeds=N trains more"
            )
        return space
    before = trials_asked_before(paths) if wishes.resume else None
    return space.asking(trials_wanted(wishes.trials, before, space.search.trials))


def run(space: Space, paths: StudyPaths, concurrency: int, listener: Listener) -> None:
    """Hand the study to Ray Tune until the searcher has nothing more to ask or the stop file stands."""
    from ray import tune

    from raysearch.tune.errors import Errors
    from raysearch.tune.node import NodeWatch
    from raysearch.tune.scheduler import build_scheduler, replay
    from raysearch.tune.searcher import StudySearcher
    from raysearch.tune.together import Together
    from raysearch.tune.trial import trainable

    stored = study.open_storage(paths, space.study, space.search)
    errors = Errors()
    searcher = StudySearcher(stored, space, paths, concurrency, listener, errors.of)
    scheduler = build_scheduler(space.search)
    replay(scheduler, stored, {number: epochs_of(trial) for number, trial in paths.trials()})
    if space.data.folds:
        scheduler = Together(scheduler, paths, space.data.folds, space.search.objective)
    node = NodeWatch(paths)
    # Else Tune asks for a trial only when the last one's process has started: seconds for each.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(concurrency)
    with tempfile.TemporaryDirectory(prefix="raysearch-") as scratch, watching(paths, listener, node.look):
        tuner = tune.Tuner(
            trainable(space.resources, space.search.objective),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                metric=searcher.metric,
                mode=searcher.mode,
                num_samples=-1,
                # Several workers must end with their trial: only then Tune frees what they hold.
                reuse_actors=space.resources.workers == 1,
            ),
            run_config=tune.RunConfig(name=space.study, storage_path=scratch, verbose=0, callbacks=[errors, node]),
        )
        try:
            tuner.fit()
        finally:
            node.has_ended = True
    searcher.finish()
    if searcher.has_failed_too_often:
        raise StudyError(
            f"{paths.root}: {searcher.stored.failed} trials failed, more than search.max_failures "
            f"({space.search.max_failures}); their result.json and error.txt say why. "
            "What was trained is kept; --resume goes on once the cause is mended"
        )


def epochs_of(trial: TrialPaths) -> int:
    """The epochs that each training of a trial was to do; 0 where nothing says so."""
    if result := read_result(trial):
        return int(result["epochs"]) // result.get("folds", 1)
    if not trial.config.is_file():
        return 0
    return TrainingConfig.model_validate(read_yaml(trial.config)).trial.total_epochs
