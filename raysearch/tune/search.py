"""Puts a search together and runs it to its end, its budgets or Ctrl-C."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysearch.errors import UserError
from raysearch.io import display_path
from raysearch.paths import StudyPaths
from raysearch.space import Space
from raysearch.train.result import read_result
from raysearch.tune.display.progress import choose_display
from raysearch.tune.on_ray.cluster import ray_session
from raysearch.tune.planning.plan import Plan, duration
from raysearch.tune.planning.preflight import (
    AT_LEISURE_S,
    AT_START_S,
    check_data,
    check_trials,
    example_trials,
    make_plan,
)
from raysearch.tune.planning.trial_budget import count_wanted_trials, read_trial_count
from raysearch.tune.stopping import stopping
from raysearch.tune.store.study import check_place, locked, prepare


@dataclass(frozen=True)
class SearchOptions:
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


def search(space: Space, wishes: SearchOptions, *, where: str) -> tuple[StudyPaths, Space]:
    """Run ``space``, read from the file ``where``, into ``out``/<study>; returns its paths, and the space as run.

    Whatever can be refused is refused before anything is written: `UserError`s.
    """
    began = time.monotonic()
    paths = StudyPaths(wishes.out / space.study)
    check_place(paths, space, wishes.resume)
    space = _asked(space, paths, wishes)
    if Path(space.data.source).exists():  # a trial's config holds wherever it is read
        space = space.with_source(str(Path(space.data.source).resolve()))
    earlier = [result for _, folder in paths.trials() if (result := read_result(folder))]
    carry_out(space, paths, wishes, earlier, where=where, began=began)
    return paths, space


def carry_out(
    space: Space,
    paths: StudyPaths,
    wishes: SearchOptions,
    earlier: Sequence[Mapping[str, Any]],
    *,
    where: str,
    began: float,
) -> None:
    """Run ``space`` in ``paths``, whose place has been checked.

    ``earlier``: the results of its trials that have ended; ``began``: when the command did, by `time.monotonic`.
    """
    examples = example_trials(space)
    dataset, counts, notes = check_data(space, examples)
    check_trials(space, examples, dataset, where)
    with ray_session(wishes.address):
        from raysearch.tune.on_ray.nodes import read_cluster  # imports Ray, which reads its settings at import
        from raysearch.tune.on_ray.run import run_trials

        limit_s = AT_LEISURE_S if wishes.plan_only else AT_START_S
        plan = make_plan(space, examples, dataset, read_cluster(), where, paths.root, earlier=earlier, limit_s=limit_s)
        if wishes.plan_only:
            print("\n".join([*plan.lines(), *(f"note: {note}" for note in [*notes, *plan.notes()])]))
            return
        display = choose_display(
            space.search.objective, space.search.trials, quiet=wishes.quiet, as_json=wishes.as_json, earlier=earlier
        )
        with locked(paths):
            prepare(paths, space, dataset, counts)
            paths.stop.unlink(missing_ok=True)
            with display, stopping(paths, space.search.timeout_s, began, display):
                for note in [*notes, *plan.notes(), _headline(plan)]:
                    display.noted(note)
                run_trials(space, paths, plan.capacity.trials, display)


def _headline(plan: Plan) -> str:
    hours = plan.hours
    time_ = f", about {duration(hours.about)}" if hours and plan.trials.number else ""
    folds = f" of {plan.folds} folds" if plan.folds > 1 else ""
    return f"{display_path(plan.root)}: {plan.trials.number} trials{folds} to come, {plan.at_once} at once{time_}"


def _asked(space: Space, paths: StudyPaths, wishes: SearchOptions) -> Space:
    """The space with as many trials as are to be there at the end."""
    if space.ablation is not None:
        if wishes.trials is not None:
            raise UserError(
                f"--trials {wishes.trials}: not for an ablation, which trains every row with every seed; "
                "--set ablation.seeds=N trains more"
            )
        return space
    before = read_trial_count(paths) if wishes.resume else None
    return space.with_trials(count_wanted_trials(wishes.trials, before, space.search.trials))
