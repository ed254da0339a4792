"""Checks and estimates before a search writes or trains anything."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch

from raysearch.config import DataConfig, TrainingConfig, TrialConfig
from raysearch.data.dataset import Dataset, open_dataset
from raysearch.data.sources import available_splits
from raysearch.errors import DataError, SpaceError, UserError
from raysearch.space import Space
from raysearch.train.disk import free_bytes
from raysearch.train.resource_check import Cost, check_fit, count_passes, count_pixels, list_image_sizes
from raysearch.train.stage import load_initial_stubborn, open_train_split, open_training_data
from raysearch.tune.planning.capacity import Cluster, compute_capacity
from raysearch.tune.planning.plan import Plan, RemainingTrials
from raysearch.tune.planning.probe_process import probe_all, probe_in_new_process

DRAWS = 20
"""Attempts to draw a valid example"""
SAMPLE = 24
"""Approximate size of the sample that stands for the trials to be drawn"""
START_PROBE_S, PLAN_PROBE_S = 0.4, 10.0
"""Seconds to measure each backbone: before a search, and with `--plan`."""


def make_plan(
    space: Space,
    examples: Sequence[TrialConfig],
    dataset: Dataset,
    cluster: Cluster,
    where: str,
    root: Path,
    *,
    earlier: Sequence[Mapping[str, Any]] = (),
    limit_s: float = START_PROBE_S,
) -> Plan:
    """Estimate what the search needs. Measures every backbone for about ``limit_s`` seconds.

    ``examples`` come from `draw_examples` and passed `check_data`, which returned ``dataset``, and `check_trials`.
    ``root`` is the study's folder, ``earlier`` are the results of its ended trials, ``where`` names the space file in
    messages. Raises `UserError` with everything that cannot be scheduled or does not fit memory or disk.
    """
    capacity = compute_capacity(space.resources, cluster, where)
    ended = [result for result in earlier if result["state"] != "FAIL"]
    has_gpus, wants_gpus = torch.cuda.is_available(), space.resources.gpus_per_worker > 0
    missing = "no GPU on this machine" if wants_gpus and not has_gpus else "a batch of 2 images does not fit memory"
    trials = list_remaining_trials(space, len(ended))
    plan = Plan(
        where=where,
        root=root,
        resources=space.resources,
        search=space.search,
        capacity=capacity,
        trials=trials,
        costs=measure_costs(space, examples, limit_s) if trials.count else {},
        classes=dataset.classes,
        images={name: _count_images(split.labels, len(dataset.classes)) for name, split in dataset.splits.items()},
        free_bytes=free_bytes(root),
        folds=space.data.trainings or 1,
        epochs_done=sum(result["epochs_done"] for result in ended),
        gpu_bytes=torch.cuda.get_device_properties(0).total_memory if has_gpus and wants_gpus else None,
        missing=missing,
    )
    if faults := plan.faults():
        raise UserError(faults)
    return plan


def _count_images(labels: np.ndarray, classes: int) -> list[int]:
    """Images of each class."""
    return [int(count) for count in np.bincount(labels, minlength=classes)]


def measure_costs(space: Space, examples: Sequence[TrialConfig], limit_s: float) -> dict[str, Cost]:
    """The cost of each backbone, measured with its example that needs most work per image.

    On GPUs this runs in a separate process, because a process releases all its GPU memory only when it ends.
    """
    chosen: dict[str, TrialConfig] = {}
    for example in sorted(
        examples, key=lambda trial: count_pixels(trial.schedule[0]) * count_passes(trial.schedule[0])
    ):
        chosen[example.backbone] = example
    trainings = [TrainingConfig(data=space.data, trial=example) for example in chosen.values()]
    arguments = (trainings, limit_s, space.resources.cpus_per_worker)
    if not space.resources.gpus_per_worker:
        costs = probe_all(*arguments, "cpu")
    elif not torch.cuda.is_available():
        costs = probe_all(*arguments, None)
    else:
        costs = probe_in_new_process(*arguments, "cuda")
    return dict(zip(chosen, costs, strict=True))


def list_remaining_trials(space: Space, ended: int) -> RemainingTrials:
    """The rest of `search.first`, and a sample of the other trials.

    Every pair of backbone and image size is equally frequent in the sample.
    """
    number = max(0, space.search.trials - ended)
    study = _random_study()
    first = [_draw_example(space, study, fixed) for fixed in space.search.first[ended : ended + number]]
    pairs = list(_pairs(space))
    sample = pairs * max(1, SAMPLE // len(pairs)) if number > len(first) else []
    drawn = [trial for fixed in sample if (trial := _draw_example(space, study, fixed))]
    known = tuple(trial for trial in first if trial)
    return RemainingTrials(known, tuple(drawn), number - len(known) if drawn else 0)


def _random_study() -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))


def _pairs(space: Space) -> Iterator[dict[str, Any]]:
    """Every backbone with every image size."""
    for backbone, size in itertools.product(space.values("backbone"), space.values("image_size")):
        yield {"backbone": backbone, "image_size": size}


def draw_examples(space: Space) -> list[TrialConfig]:
    """All of `search.first`, and one trial of every backbone with every image size of the space.

    For an ablation, only its trainings, which are its `search.first`.
    """
    study = _random_study()
    fixed_values = [*space.search.first, *([] if space.ablation else _pairs(space))]
    examples = [example for fixed in fixed_values if (example := _draw_example(space, study, fixed))]
    return list({example.model_dump_json(exclude={"seed"}): example for example in examples}.values())


def _draw_example(space: Space, study: optuna.Study, fixed: Mapping[str, Any]) -> TrialConfig | None:
    """A trial with the ``fixed`` values; None if no valid one was drawn in `DRAWS` attempts."""
    for _ in range(DRAWS):
        try:
            return space.trial.suggest(study.ask(), fixed)
        except SpaceError:
            continue
    return None  # the search records each such trial as FAIL with the reason


def check_data(space: Space, examples: Sequence[TrialConfig]) -> tuple[Dataset, dict[str, int | None], list[str]]:
    """Decode the data of every example into the cache. Returns the dataset, the images of each split, and notes.

    With folds, every fold is decoded, and the first fold is returned and counted. Raises `DataError` with all faults of
    train and held_out. Faults of test become a note and its count is None, because no decision of a search reads test.
    """
    datasets, notes = [], []
    for data, example in itertools.product(_list_folds(space.data), examples):
        datasets.append(open_training_data(TrainingConfig(data=data, trial=example)))
        for stage in example.schedule:
            open_train_split(datasets[-1], stage)
    dataset = datasets[0]
    counts: dict[str, int | None] = {name: len(split.labels) for name, split in dataset.splits.items()}
    if "test" in available_splits(space.data):
        try:
            counts["test"] = open_dataset(
                space.data, dataset.image_size, ("train", "held_out", "test"), whole_train=dataset.whole_train
            ).counts["test"]
        except DataError as error:
            counts["test"] = None
            notes.append(f"the test split has faults, and the search runs without it: {error.faults[0]}")
    return dataset, counts, notes


def _list_folds(data: DataConfig) -> list[DataConfig]:
    """The data of each training of a trial."""
    folds = data.trainings
    return [data.model_copy(update={"fold": fold}) for fold in range(folds)] if folds else [data]


def check_trials(space: Space, examples: Sequence[TrialConfig], dataset: Dataset, where: str) -> None:
    """Refuse steps larger than the train split, and backbones that do not build or do not accept the image size.

    ``where`` names the space file in messages. Raises `UserError` with all faults at once.
    """
    images = len(dataset.splits["train"].labels)
    faults = [
        f"{key}: a step takes {size} images, but the train split has {images}"
        for key, size in _list_step_sizes(space, examples)
        if size > images
    ]
    faults += _stubborn_faults(examples, dataset)
    for example in {_network_key(example): example for example in examples}.values():
        try:
            check_fit(example, len(dataset.classes))
        except UserError as error:
            faults += error.faults
    if faults:
        raise UserError(f"{where}: {fault}" for fault in dict.fromkeys(faults))


def _list_step_sizes(space: Space, examples: Sequence[TrialConfig]) -> list[tuple[str, int]]:
    """Images per optimizer step over all workers, each with the dotted path of the batch size.

    Without stages: every batch size of the space with its largest accumulation. With stages, or for an ablation: every
    stage of every example.
    """
    if space.ablation is None and not any(example.stages for example in examples):
        batches = max(space.values("accumulation")) * space.resources.workers
        return [("trial.batch_size", size * batches) for size in space.values("batch_size")]
    largest = 1 if space.ablation else max(space.values("accumulation"))
    return [
        (
            f"trial.stages.{number}.batch_size" if example.stages else "trial.batch_size",
            stage.batch_size * max(stage.accumulation, largest) * space.resources.workers,
        )
        for example in examples
        for number, stage in enumerate(example.schedule)
    ]


def _stubborn_faults(examples: Sequence[TrialConfig], dataset: Dataset) -> list[str]:
    """Predictions that name the stubborn classes must exist, and their path must be the same in every process."""
    faults: list[str] = []
    for example in examples:
        stubborn = example.schedule[0].augment.stubborn
        key = "trial.augment.stubborn.predictions"
        if stubborn.predictions and not Path(stubborn.predictions).is_absolute():
            faults.append(f"{key}: got {stubborn.predictions!r}; a search needs an absolute path")
            continue
        try:
            load_initial_stubborn(example, dataset)
        except UserError as error:
            faults += error.faults
    return faults


def _network_key(trial: TrialConfig) -> tuple[Any, ...]:
    """The values that `check_fit` depends on."""
    return (
        trial.backbone,
        list_image_sizes(trial),
        trial.has_aux_head,
        trial.aux_stage,
        trial.dropout,
        trial.block_dropout,
        trial.drop_path_rate,
    )
