"""Puts a search together and runs it to its end, its time limit or Ctrl-C."""

import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from raysearch.errors import StudyError
from raysearch.io import write_text
from raysearch.paths import StudyPaths, TrialPaths
from raysearch.space import Space
from raysearch.train.result import read_result
from raysearch.tune import cluster, study
from raysearch.tune.preflight import check_data, check_resources, check_trials, example_trials
from raysearch.tune.progress import Lines


def search(space: Space, out: Path, *, where: str, resume: bool = False, address: str | None = None) -> StudyPaths:
    """Run ``space``, read from the file ``where``, into ``out``/<study> and return its paths.

    Whatever can be refused is refused before anything is written: `UserError`s.
    """
    began = time.monotonic()
    paths = StudyPaths(out / space.study)
    study.check_place(paths, space, resume)
    if Path(space.data.source).exists():  # a trial's config holds wherever it is read
        space = space.at(str(Path(space.data.source).resolve()))
    check_resources(space.resources, where)
    examples = example_trials(space)
    dataset, counts = check_data(space, examples)
    check_trials(space, examples, dataset, where)
    with cluster.ray_session(address) as resources:
        concurrency = cluster.trials_at_once(space.resources, resources)
        with study.locked(paths):
            study.prepare(paths, space, dataset, counts)
            paths.stop.unlink(missing_ok=True)
            print(f"{paths.root}: {space.search.trials} trials, {concurrency} at once", flush=True)
            with stopping(paths, space.search.timeout_s, began):
                run(space, paths, concurrency)
    return paths


def run(space: Space, paths: StudyPaths, concurrency: int) -> None:
    """Hand the study to Ray Tune until the searcher has nothing more to ask or the stop file stands."""
    from ray import tune

    from raysearch.tune.scheduler import build_scheduler, replay
    from raysearch.tune.searcher import StudySearcher
    from raysearch.tune.trial import run_trial

    stored = study.open_storage(paths, space.study, space.search)
    searcher = StudySearcher(stored, space, paths, concurrency, Lines(space.search.objective))
    scheduler = build_scheduler(space.search)
    replay(scheduler, stored, {number: epochs_of(trial) for number, trial in paths.trials()})
    resources = {"CPU": space.resources.cpus_per_worker, "GPU": space.resources.gpus_per_worker}
    with tempfile.TemporaryDirectory(prefix="raysearch-") as scratch:
        tune.Tuner(
            tune.with_resources(run_trial, resources),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                metric=searcher.metric,
                mode=searcher.mode,
                num_samples=-1,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(name=space.study, storage_path=scratch, verbose=0),
        ).fit()
    if searcher.has_failed_too_often:
        raise StudyError(
            f"{paths.root}: {searcher.failed} trials failed, more than search.max_failures "
            f"({space.search.max_failures}); their result.json and error.txt say why. "
            "What was trained is kept; --resume goes on once the cause is mended"
        )


def epochs_of(trial: TrialPaths) -> int:
    """The epochs a trial was to do; 0 where it left no result."""
    result = read_result(trial)
    return result["epochs"] if result else 0


@contextmanager
def stopping(paths: StudyPaths, timeout_s: float | None, began: float) -> Iterator[None]:
    """At the time limit, or on the first Ctrl-C or SIGTERM, ask running trials to stop after their batch.

    ``began``: when the command did, by `time.monotonic`. A second Ctrl-C ends the command at once.
    """

    def ask_to_stop(reason: str) -> None:
        write_text(paths.stop, f"stopped by {reason}")
        print(f"stopped by {reason}: running trials end after their batch", flush=True)

    def on_signal(number: int, frame: FrameType | None) -> None:
        for name, handler in before.items():
            signal.signal(name, handler)
        ask_to_stop(signal.Signals(number).name)

    before = {name: signal.signal(name, on_signal) for name in (signal.SIGINT, signal.SIGTERM)}
    left = None if timeout_s is None else max(0.0, timeout_s - (time.monotonic() - began))
    timer = threading.Timer(left or 0.0, ask_to_stop, [f"the time limit of {timeout_s:g} s"]) if timeout_s else None
    if timer:
        timer.daemon = True
        timer.start()
    try:
        yield
    finally:
        if timer:
            timer.cancel()
        paths.stop.unlink(missing_ok=True)
        for name, handler in before.items():
            signal.signal(name, handler)
