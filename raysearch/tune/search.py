"""Puts a search together and runs it to its end, its time limit or Ctrl-C."""

import itertools
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from raysearch.data import Dataset, available_splits, open_dataset
from raysearch.errors import StudyError, UserError
from raysearch.io import write_text
from raysearch.models import check_backbone
from raysearch.paths import StudyPaths, TrialPaths
from raysearch.space import Space
from raysearch.train.result import read_result
from raysearch.tune import cluster, study
from raysearch.tune.progress import Lines


def search(space: Space, out: Path, *, resume: bool = False, address: str | None = None) -> StudyPaths:
    """Run ``space`` into ``out``/<study> and return its paths.

    Whatever can be refused is refused before anything is written: `UserError`s.
    """
    began = time.monotonic()
    paths = StudyPaths(out / space.study)
    study.check_place(paths, resume)
    dataset, counts = check_data(space)
    check_backbones(space, len(dataset.classes))
    with cluster.ray_session(address) as resources:
        concurrency = cluster.trials_at_once(space.resources, resources)
        with study.locked(paths):
            study.prepare(paths, space, dataset, counts)
            paths.stop.unlink(missing_ok=True)
            print(f"{paths.root}: {space.search.trials} trials, {concurrency} at once", flush=True)
            with stopping(paths, space.search.timeout_s, began):
                run(space, paths, concurrency)
    return paths


def check_data(space: Space) -> tuple[Dataset, dict[str, int]]:
    """The search's data, decoded into the cache for every image size; its counts, the test split's too.

    Raises `DataError` with all faults of the source, or a batch larger than the train split.
    """
    splits = [name for name in available_splits(space.data) if name == "test"]
    sizes = space.trial.choices("image_size")
    if not sizes:
        raise UserError("trial.image_size: must be a value or a choice, got a range")
    datasets = [open_dataset(space.data, size, ("train", "held_out", *splits)) for size in sizes]
    dataset = datasets[0]
    counts = {name: len(split.labels) for name, split in dataset.splits.items()}
    largest = max(space.trial.choices("batch_size"), default=0)
    if largest > counts["train"]:
        raise UserError(f"trial.batch_size: got {largest}, but the train split has {counts['train']} images")
    return dataset, counts


def check_backbones(space: Space, num_classes: int) -> None:
    """Build each backbone the space can draw at each image size; all that cannot be are refused at once."""
    faults = []
    has_aux_head = any(weight > 0 for weight in space.trial.choices("method.aux_weight") or (1.0,))
    for backbone, size in itertools.product(space.backbones(), space.trial.choices("image_size")):
        try:
            check_backbone(backbone, num_classes, size, has_aux_head=has_aux_head)
        except UserError as error:
            faults += error.faults
    if faults:
        raise UserError(faults)


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
        print(f"{reason}: running trials stop after their batch", flush=True)
        write_text(paths.stop, reason)

    def on_signal(number: int, frame: FrameType | None) -> None:
        for name, handler in before.items():
            signal.signal(name, handler)
        ask_to_stop(signal.Signals(number).name)

    before = {name: signal.signal(name, on_signal) for name in (signal.SIGINT, signal.SIGTERM)}
    left = None if timeout_s is None else max(0.0, timeout_s - (time.monotonic() - began))
    timer = threading.Timer(left or 0.0, ask_to_stop, [f"time limit of {timeout_s:g} s"]) if timeout_s else None
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
