"""What is found out, and refused, before a search writes or trains anything."""

import itertools
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
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
from raysearch.train.probe import probe
from raysearch.train.resource_check import Cost, check_fit, count_passes, count_pixels, list_image_sizes
from raysearch.train.stage import open_training_data, stubborn_at_start, train_split
from raysearch.tune.planning.capacity import Cluster, capacity_of
from raysearch.tune.planning.plan import Plan, Trials

DRAWS = 20
"""Draws of an example in which values that do not go together are passed over."""
SAMPLE = 24
"""Trials, about, that stand for all that will be drawn."""
AT_START_S, AT_LEISURE_S = 0.4, 10.0
"""Seconds that a backbone is tried for: before a search, and where only the plan is asked for."""


def make_plan(
    space: Space,
    examples: Sequence[TrialConfig],
    dataset: Dataset,
    cluster: Cluster,
    where: str,
    root: Path,
    *,
    earlier: Sequence[Mapping[str, Any]] = (),
    limit_s: float = AT_START_S,
) -> Plan:
    """What the search will take; tries every backbone for about ``limit_s`` seconds.

    ``examples``: of `example_trials`, passed by `check_data`, which gave ``dataset``, and by `check_trials`;
    ``root``: the study's folder, and ``earlier`` the results of its trials; ``where``: the space file's name. Raises
    `UserError` with all that cannot be scheduled or has no room.
    """
    capacity = capacity_of(space.resources, cluster, where)
    ended = [result for result in earlier if result["state"] != "FAIL"]
    has_gpus, wants_gpus = torch.cuda.is_available(), space.resources.gpus_per_worker > 0
    missing = "no GPU on this machine" if wants_gpus and not has_gpus else "a batch of two has no room in memory"
    trials = trials_to_come(space, len(ended))
    plan = Plan(
        where=where,
        root=root,
        resources=space.resources,
        search=space.search,
        capacity=capacity,
        trials=trials,
        costs=costs_of(space, examples, limit_s) if trials.number else {},
        classes=dataset.classes,
        images={name: _images_of(split.labels, len(dataset.classes)) for name, split in dataset.splits.items()},
        free_bytes=free_bytes(root),
        folds=space.data.folds or 1,
        epochs_done=sum(result["epochs_done"] for result in ended),
        gpu_bytes=torch.cuda.get_device_properties(0).total_memory if has_gpus and wants_gpus else None,
        missing=missing,
    )
    if faults := plan.faults():
        raise UserError(faults)
    return plan


def _images_of(labels: np.ndarray, classes: int) -> list[int]:
    return [int(count) for count in np.bincount(labels, minlength=classes)]


def costs_of(space: Space, examples: Sequence[TrialConfig], limit_s: float) -> dict[str, Cost]:
    """By backbone, from its example of most work an image.

    On GPUs in a process of its own, which takes its share of their memory with it when it ends.
    """
    chosen: dict[str, TrialConfig] = {}
    for example in sorted(
        examples, key=lambda trial: count_pixels(trial.schedule[0]) * count_passes(trial.schedule[0])
    ):
        chosen[example.backbone] = example
    trainings = [TrainingConfig(data=space.data, trial=example) for example in chosen.values()]
    arguments = (trainings, limit_s, space.resources.cpus_per_worker)
    if not space.resources.gpus_per_worker:
        costs = probed(*arguments, "cpu")
    elif not torch.cuda.is_available():
        costs = probed(*arguments, None)
    else:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            costs = pool.submit(probed, *arguments, "cuda").result()
    return dict(zip(chosen, costs, strict=True))


def probed(trainings: Sequence[TrainingConfig], limit_s: float, threads: int, device: str | None) -> list[Cost]:
    """`probe` of each, on its own data."""
    where = None if device is None else torch.device(device)
    return [probe(each.trial, open_training_data(each), limit_s, threads=threads, device=where) for each in trainings]


def trials_to_come(space: Space, ended: int) -> Trials:
    """The rest of `search.first`, and a sample of the others in which every backbone and image size is as frequent."""
    number = max(0, space.search.trials - ended)
    study = _random_study()
    first = [_example(space, study, fixed) for fixed in space.search.first[ended : ended + number]]
    pairs = list(_pairs(space))
    wanted = pairs * max(1, SAMPLE // len(pairs)) if number > len(first) else []
    drawn = [trial for fixed in wanted if (trial := _example(space, study, fixed))]
    known = tuple(trial for trial in first if trial)
    return Trials(known, tuple(drawn), number - len(known) if drawn else 0)


def _random_study() -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))


def _pairs(space: Space) -> Iterator[dict[str, Any]]:
    """Every backbone at every image size."""
    for backbone, size in itertools.product(space.values("backbone"), space.values("image_size")):
        yield {"backbone": backbone, "image_size": size}


def example_trials(space: Space) -> list[TrialConfig]:
    """A trial of every backbone at every image size that the space has, and all of `search.first`; of an ablation those
    alone, its trainings."""
    study = _random_study()
    wanted = [*space.search.first, *([] if space.ablation else _pairs(space))]
    examples = [example for fixed in wanted if (example := _example(space, study, fixed))]
    return list({example.model_dump_json(exclude={"seed"}): example for example in examples}.values())


def _example(space: Space, study: optuna.Study, fixed: Mapping[str, Any]) -> TrialConfig | None:
    for _ in range(DRAWS):
        try:
            return space.trial.suggest(study.ask(), fixed)
        except SpaceError:
            continue
    return None  # its trials will end as FAIL, each with the reason


def check_data(space: Space, examples: Sequence[TrialConfig]) -> tuple[Dataset, dict[str, int | None], list[str]]:
    """The search's data, decoded into the cache as every example wants it; images a split, the test split's too; notes.

    With folds every one is decoded, and the first is returned and counted. Raises `DataError` with all faults of train
    and held_out. Faults of test are noted only, and its count is None: no decision of a search reads it.
    """
    datasets, notes = [], []
    for data, example in itertools.product(_folds_of(space.data), examples):
        datasets.append(open_training_data(TrainingConfig(data=data, trial=example)))
        for stage in example.schedule:
            train_split(datasets[-1], stage)
    dataset = datasets[0]
    counts: dict[str, int | None] = {name: len(split.labels) for name, split in dataset.splits.items()}
    if "test" in available_splits(space.data):
        try:
            counts["test"] = open_dataset(
                space.data, dataset.image_size, ("train", "held_out", "test"), whole_train=dataset.whole_train
            ).counts["test"]
        except DataError as error:
            counts["test"] = None
            notes.append(f"the test split has faults, the search goes on without it: {error.faults[0]}")
    return dataset, counts, notes


def _folds_of(data: DataConfig) -> list[DataConfig]:
    """The data of a trial's trainings."""
    return [data.model_copy(update={"fold": fold}) for fold in range(data.folds)] if data.folds else [data]


def check_trials(space: Space, examples: Sequence[TrialConfig], dataset: Dataset, where: str) -> None:
    """Refuse steps larger than the train split, and backbones that do not build or cannot take the image size.

    ``where`` is the space file's name, for the messages; all faults are raised at once as a `UserError`.
    """
    images = len(dataset.splits["train"].labels)
    faults = [
        f"{place}: a step takes {size} images, but the train split has {images}"
        for place, size in _steps(space, examples)
        if size > images
    ]
    faults += _stubborn_faults(examples, dataset)
    for example in {_network_of(example): example for example in examples}.values():
        try:
            check_fit(example, len(dataset.classes))
        except UserError as error:
            faults += error.faults
    if faults:
        raise UserError(f"{where}: {fault}" for fault in dict.fromkeys(faults))


def _steps(space: Space, examples: Sequence[TrialConfig]) -> list[tuple[str, int]]:
    """Place and number of the images of a step of all workers: at every batch size and the largest accumulation, or of
    every stage; of an ablation of each of its trainings."""
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
    """Earlier predictions that are to name stubborn classes must be there, and be found from every process."""
    faults: list[str] = []
    for example in examples:
        stubborn = example.schedule[0].augment.stubborn
        place = "trial.augment.stubborn.predictions"
        if stubborn.predictions and not Path(stubborn.predictions).is_absolute():
            faults.append(f"{place}: got {stubborn.predictions!r}; in a search it must be a whole path, from /")
            continue
        try:
            stubborn_at_start(example, dataset)
        except UserError as error:
            faults += error.faults
    return faults


def _network_of(trial: TrialConfig) -> tuple[Any, ...]:
    """What `check_fit` depends on."""
    return (
        trial.backbone,
        list_image_sizes(trial),
        trial.has_aux_head,
        trial.aux_stage,
        trial.dropout,
        trial.drop_path_rate,
    )
