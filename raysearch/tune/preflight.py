"""What is refused before a search writes or trains anything."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna

from raysearch.config import TrainingConfig, TrialConfig
from raysearch.data import Dataset, available_splits, open_dataset
from raysearch.errors import DataError, SpaceError, UserError
from raysearch.space import ResourcesConfig, Space
from raysearch.train import check_fit, open_training_data, sizes_of, stubborn_at_start, train_split

DRAWS = 20
"""Draws of an example in which values that do not go together are passed over."""


def check_resources(resources: ResourcesConfig, where: str) -> None:
    """Refuse what no cluster can give, before anything is read."""
    if resources.workers > 1:
        raise UserError(
            f"{where}: resources.workers: got {resources.workers}, but a search's trial trains in one process so far; "
            "set it to 1, or train one model on several GPUs with torchrun -m raysearch.train"
        )


def example_trials(space: Space) -> list[TrialConfig]:
    """A trial of every backbone at every image size that the space has, and all of `search.first`."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    pairs = itertools.product(space.values("backbone"), space.values("image_size"))
    wanted = [*space.search.first, *({"backbone": backbone, "image_size": size} for backbone, size in pairs)]
    examples = [example for fixed in wanted if (example := _example(space, study, fixed))]
    return list({example.model_dump_json(exclude={"seed"}): example for example in examples}.values())


def _example(space: Space, study: optuna.Study, fixed: Mapping[str, Any]) -> TrialConfig | None:
    for _ in range(DRAWS):
        try:
            return space.trial.suggest(study.ask(), fixed)
        except SpaceError:
            continue
    return None  # its trials will end as FAIL, each with the reason


def check_data(space: Space, examples: Sequence[TrialConfig]) -> tuple[Dataset, dict[str, int | None]]:
    """The search's data, decoded into the cache as every example wants it; images a split, the test split's too.

    Raises `DataError` with all faults of train and held_out. Faults of test are printed only, and its count is None:
    no decision of a search reads it.
    """
    datasets = []
    for example in examples:
        datasets.append(open_training_data(TrainingConfig(data=space.data, trial=example)))
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
            print(f"note: the test split has faults, the search goes on without it: {error.faults[0]}", flush=True)
    return dataset, counts


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
    """Place and number of the images of a step: at every batch size and the largest accumulation, or of every stage."""
    accumulation = max(space.values("accumulation"))
    if not any(example.stages for example in examples):
        return [("trial.batch_size", size * accumulation) for size in space.values("batch_size")]
    stages = {
        f"trial.stages.{number}.batch_size": stage.batch_size * accumulation
        for example in examples
        for number, stage in enumerate(example.schedule)
    }
    return list(stages.items())


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
    return (trial.backbone, sizes_of(trial), trial.has_aux_head, trial.aux_stage, trial.dropout, trial.drop_path_rate)
