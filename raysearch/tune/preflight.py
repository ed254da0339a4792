"""What is refused before a search writes or trains anything."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import optuna

from raysearch.config import TrainingConfig, TrialConfig
from raysearch.data import Dataset, available_splits, open_dataset
from raysearch.errors import DataError, SpaceError, UserError
from raysearch.space import Space
from raysearch.train import check_fit, open_training_data, sizes_of, train_split

DRAWS = 20
"""Draws of an example in which values that do not go together are passed over."""


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
            train_split(space.data, datasets[-1], stage)
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
    large = [example for example in examples if example.stages or example.accumulation > 1]
    steps = [stage.batch_size * stage.accumulation for example in large for stage in example.schedule]
    faults = [
        f"trial.batch_size: a step takes {size} images, but the train split has {images}"
        for size in dict.fromkeys([*space.values("batch_size"), *steps])
        if size * space.resources.workers > images
    ]
    for example in {_network_of(example): example for example in examples}.values():
        try:
            check_fit(example, len(dataset.classes))
        except UserError as error:
            faults += error.faults
    if faults:
        raise UserError(f"{where}: {fault}" for fault in dict.fromkeys(faults))


def _network_of(trial: TrialConfig) -> tuple[Any, ...]:
    """What `check_fit` depends on."""
    return (trial.backbone, sizes_of(trial), trial.has_aux_head, trial.aux_stage, trial.dropout, trial.drop_path_rate)
