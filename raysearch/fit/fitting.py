"""Fits: checks the data, measures the machine, lays out the time, and runs the rounds."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from raysearch.config import DataConfig
from raysearch.data.measuring import SourceFacts, measure_source
from raysearch.data.sources import detect_folder_kind, source_folder
from raysearch.errors import StudyError, UserError
from raysearch.fit.clock import Clock, State, read_state
from raysearch.fit.driver import drive
from raysearch.fit.layout import Division, Facts, Kind, Times, divide, lay_out, least_budget_s
from raysearch.fit.machine import choose_network, choose_resources, count_slots, measure, read_times
from raysearch.fit.plan_text import format_plan
from raysearch.fit.space import WHERE, decide, find_given, load_template
from raysearch.fit.work import StudyWork
from raysearch.io import LockHeld, display_path, locked
from raysearch.paths import FitPaths
from raysearch.space import Space, load_space, space_from
from raysearch.tune.on_ray.cluster import ray_session

RAY_START_S = 4.0
"""Seconds that Ray takes to start on a machine that does nothing else. A busy one takes longer for every start."""
FITS = Path("fits")
"""Default parent folder of fits."""


def default_folder(source: str | None) -> Path:
    """The folder of a fit without `--out`. Raises `UserError` without a source."""
    if source is None:
        raise UserError("no source given; give a folder of labelled images or digits, or with --resume the --out")
    return FITS / Path(source).resolve().name


@dataclass(frozen=True)
class FitOptions:
    """Options of a fit besides its source."""

    out: Path
    minutes: str | None = None
    """N for the whole budget, or +N to add to the budget of the fit that is resumed"""
    overrides: Sequence[str] = ()
    """``path=value`` texts that change the included space `fit`"""
    resume: bool = False
    address: str | None = None
    division: Kind | None = None
    """How the labels are used; None: as `raysearch.fit.layout.divide` decides"""
    plan_only: bool = False
    quiet: bool = False


def fit(source: str | None, options: FitOptions, began: float) -> FitPaths:
    """Fit ``source`` (None: the source of the fit that is resumed) within the budget, and return the paths.

    ``began``: start of the command in seconds of `time.monotonic`; the budget counts from it. Raises `UserError` before
    anything is written if the data has faults or the budget is too small.
    """
    paths = FitPaths(options.out)
    state = _open_state(paths, source, options)
    clock = Clock(paths.state, state, began)
    template = load_template(options.overrides)
    data = template.data.model_copy(update={"source": state.source, "has_test": _has_test(state.source)})
    measured = measure_source(data)
    before_s = clock.spent_s()
    with ray_session(options.address):
        load = max(1.0, (clock.spent_s() - before_s) / RAY_START_S) if options.address is None else 1.0
        # Imported here, because Ray reads the settings that `ray_session` makes when it is first imported.
        from raysearch.tune.on_ray.nodes import read_cluster

        cluster = read_cluster()
        resources = choose_resources(cluster)
        slots = count_slots(resources, cluster, WHERE)
        facts = Facts(measured.images, len(measured.classes), min(measured.per_class), slots, clock.budget_s)
        if paths.space.is_file():
            space, division, times = _reopen(paths, state, measured, facts, load)
        else:
            space, division, times = _prepare(template, data, resources, measured, facts, clock, options, load)
        work = StudyWork(paths, template, space, facts, division, options.address, options.quiet, print)
        rounds = lay_out(facts, times, division, clock.budget_s - clock.spent_s(), work.done)
        if not rounds and not work.done:
            least = least_budget_s(facts, times, division, clock.spent_s())
            raise UserError(
                f"--minutes {state.minutes:g}: too small: this data on this machine needs at least "
                f"{least / 60 + 0.05:.1f} minutes for one short trial and the check of its set"
            )
        if not options.quiet or options.plan_only:
            print("\n".join(format_plan(space, measured, facts, times, division, rounds, clock.spent_s())))
        if options.plan_only:
            return paths
        with _locked(paths), clock.running():
            is_done = drive(work, facts, times, division, clock.spent_s, print)
    if not options.quiet:
        print(_last_words(paths, clock, is_done))
    return paths


def _open_state(paths: FitPaths, source: str | None, options: FitOptions) -> State:
    """The state of the fit that is resumed, with its new budget, or of a new fit."""
    where = display_path(paths.root)
    if options.resume:
        if not paths.state.is_file():
            raise StudyError(f"{where}: no fit to resume; run without --resume, or give the --out of the first run")
        state = read_state(paths.state)
        if options.division not in (None, state.division):
            was = state.division or "the default"
            raise UserError(f"--division {options.division}: the fit in {where} has {was}; give another --out")
        if source is not None and _absolute(source) != state.source:
            raise UserError(f"{source}: the fit in {where} has the source {state.source}; give another --out")
        return state.model_copy(update={"minutes": _read_minutes(options.minutes, state.minutes)})
    if source is None:
        raise UserError("no source given; give a folder of labelled images, or digits")
    if paths.root.is_file():
        raise StudyError(f"{where}: is a file, not a folder; give another --out")
    if paths.state.is_file():
        raise StudyError(f"{where}: already holds a fit; continue it with --resume, or give another --out")
    if paths.root.is_dir() and any(path != paths.lock for path in paths.root.iterdir()):
        raise StudyError(f"{where}: is not empty and holds no fit; give another --out")
    minutes = _read_minutes(options.minutes, None)
    return State(source=_absolute(source), minutes=minutes, division=options.division)


def _absolute(source: str) -> str:
    """An absolute path is valid in any process that reads a trial's config."""
    return str(Path(source).resolve()) if Path(source).exists() else source


def _read_minutes(text: str | None, before: float | None) -> float:
    """The budget in minutes. ``before``: that of the fit that is resumed."""
    if text is None:
        if before is None:
            raise UserError("--minutes: must be given: the time that the fit may take")
        return before
    try:
        minutes = float(text)
    except ValueError:
        minutes = float("nan")
    if text.startswith("+"):
        if before is None:
            raise UserError(f"--minutes {text}: only with --resume, for an existing fit; else give {text[1:]}")
        minutes += before
    if not 0 < minutes < float("inf"):
        raise UserError(f"--minutes: expected a number of minutes above 0, or +N with --resume, got {text!r}")
    return minutes


def _has_test(source: str) -> bool:
    """False for a folder without splits: all of its labels teach, and the accuracy comes from the folds."""
    config = DataConfig(source=source)
    return source == "digits" or detect_folder_kind(source_folder(config)) != "class_folders"


def _prepare(
    template: Space,
    data: DataConfig,
    resources: dict[str, object],
    measured: SourceFacts,
    facts: Facts,
    clock: Clock,
    options: FitOptions,
    load: float,
) -> tuple[Space, Division, Times]:
    """Decide everything that stays the same in all rounds of a new fit."""
    given = find_given(options.overrides, template)
    probed = space_from(
        template.resolved | {"data": data.model_dump(), "resources": template.resolved["resources"] | resources}, WHERE
    )
    choice = choose_network(probed, measured, facts.slots, clock.budget_s - clock.spent_s(), given, load)
    division = divide(facts, choice.times, options.division)
    space = decide(
        template,
        data=data,
        division=division,
        backbone=choice.backbone,
        image_size=choice.image_size,
        images=division.count_train(facts),
        resources=resources,
        given=given,
    )
    return space, division, choice.times


def _reopen(
    paths: FitPaths, state: State, measured: SourceFacts, facts: Facts, load: float
) -> tuple[Space, Division, Times]:
    """The decisions of the fit that is resumed, and this machine's times."""
    space = load_space(paths.space)
    division = Division(space.data.folds, space.data.merged_held_out_per_class or 0, state.division == "refit")
    backbone, side = space.resolved["trial"]["backbone"], space.resolved["trial"]["image_size"]
    cost = measure(space, backbone, side)
    return space, division, read_times(cost, space, backbone, side, measured, facts.slots, load)


@contextmanager
def _locked(paths: FitPaths) -> Iterator[None]:
    try:
        with locked(paths.lock):
            yield
    except LockHeld as held:
        raise StudyError(f"{display_path(paths.root)}: another fit runs in this folder ({held})") from held


def _last_words(paths: FitPaths, clock: Clock, is_done: bool) -> str:
    where, minutes = display_path(paths.root), clock.spent_s() / 60
    lines = [f"{minutes:.1f} of {clock.state.minutes:g} minutes spent"]
    if not is_done:
        lines.append(f"stopped before the end; continue with: raysearch fit --resume --out {where}")
    if paths.set.is_dir():
        lines += [
            f"verified set:  {display_path(paths.set)}",
            f"report:        {display_path(paths.study.report)}",
            f"classify with: raysearch predict {display_path(paths.set)} IMAGES --out predictions.csv",
        ]
    return "\n".join(lines)
