"""Runs a search: checks and plans it, then trains its trials until they are done, a budget is spent, or Ctrl-C."""

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
from raysearch.tune.planning.plan import Plan
from raysearch.tune.planning.plan_text import format_plan
from raysearch.tune.planning.preflight import (
    PLAN_PROBE_S,
    START_PROBE_S,
    check_data,
    check_trials,
    draw_examples,
    make_plan,
)
from raysearch.tune.planning.trial_budget import count_wanted_trials, read_trial_count
from raysearch.tune.planning.units import format_duration
from raysearch.tune.stopping import stopping
from raysearch.tune.store.study import check_place, locked, prepare

END_SHARE = 0.02
"""Share of the time limit of a search in which no training should run any more."""


@dataclass(frozen=True)
class SearchOptions:
    """Options of a search that are not part of its space."""

    out: Path
    """Parent of the study's folder"""
    trials: str | None = None
    """Value of `--trials`: N or +N"""
    resume: bool = False
    """Continue the study that is already in ``out``"""
    address: str | None = None
    """Address of a running Ray cluster; None: start Ray on this machine"""
    plan_only: bool = False
    """Print the plan, and neither write nor train anything"""
    quiet: bool = False
    as_json: bool = False


def search(space: Space, options: SearchOptions, *, where: str) -> tuple[StudyPaths, Space]:
    """Run the search of ``space``. Returns the study's paths, and the space with its final number of trials.

    ``where`` names the file that ``space`` was read from, for messages. Raises `UserError` before anything is written
    if the search cannot run.
    """
    began = time.monotonic()
    paths = StudyPaths(options.out / space.study)
    check_place(paths, space, options.resume)
    space = _set_trial_count(space, paths, options)
    if Path(space.data.source).exists():  # an absolute path is valid in any process that reads a trial's config
        space = space.with_source(str(Path(space.data.source).resolve()))
    earlier = [result for _, folder in paths.trials() if (result := read_result(folder))]
    execute_search(space, paths, options, earlier, where=where, began=began)
    return paths, space


def execute_search(
    space: Space,
    paths: StudyPaths,
    options: SearchOptions,
    earlier: Sequence[Mapping[str, Any]],
    *,
    where: str,
    began: float,
) -> None:
    """Run ``space`` in the study folder ``paths``, which `check_place` has accepted.

    ``earlier`` are the results of the study's ended trials. ``began`` is the start of the command in seconds of
    `time.monotonic`; the time limit counts from it.
    """
    examples = draw_examples(space)
    dataset, counts, notes = check_data(space, examples)
    check_trials(space, examples, dataset, where)
    with ray_session(options.address):
        # Imported here, because Ray reads the settings that `ray_session` makes when it is first imported.
        from raysearch.tune.on_ray.nodes import read_cluster
        from raysearch.tune.on_ray.run import run_trials

        limit_s = PLAN_PROBE_S if options.plan_only else START_PROBE_S
        plan = make_plan(space, examples, dataset, read_cluster(), where, paths.root, earlier=earlier, limit_s=limit_s)
        if options.plan_only:
            print("\n".join([*format_plan(plan), *(f"note: {note}" for note in [*notes, *plan.notes()])]))
            return
        display = choose_display(
            space.search.objective, space.search.trials, quiet=options.quiet, as_json=options.as_json, earlier=earlier
        )
        with locked(paths):
            prepare(paths, space, dataset, counts)
            paths.stop.unlink(missing_ok=True)
            with display, stopping(paths, space.search.timeout_s, began, display):
                for note in [*notes, *plan.notes(), _headline(plan)]:
                    display.noted(note)
                run_trials(space, paths, plan.capacity.trials, display, _find_end(space.search.timeout_s, began))


def _find_end(timeout_s: float | None, began: float) -> float | None:
    """When trainings with a time limit must have ended, in seconds since the epoch: shortly before the others stop."""
    if timeout_s is None:
        return None
    return time.time() + timeout_s * (1 - END_SHARE) - (time.monotonic() - began)


def _headline(plan: Plan) -> str:
    hours = plan.hours
    time_ = f", about {format_duration(hours.about)}" if hours and plan.trials.count else ""
    folds = f" with {plan.folds} folds each" if plan.folds > 1 else ""
    return f"{display_path(plan.root)}: {plan.trials.count} trials{folds} to run, {plan.at_once} at once{time_}"


def _set_trial_count(space: Space, paths: StudyPaths, options: SearchOptions) -> Space:
    """The space with the study's total number of trials, from `--trials`, the resumed study and the space."""
    if space.ablation is not None:
        if options.trials is not None:
            raise UserError(
                f"--trials {options.trials}: not for an ablation, which trains every row with every seed; "
                "for more trainings give --set ablation.seeds=N"
            )
        return space
    before = read_trial_count(paths) if options.resume else None
    return space.with_trials(count_wanted_trials(options.trials, before, space.search.trials))
