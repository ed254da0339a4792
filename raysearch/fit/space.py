"""The space of a fit: the included space `fit` with what the data, the machine and the time decide.

`search.first` lists every trial that has been begun, with its epochs and its time limit. Their settings come from
`search.first` of the included space: its first entry is for the short first round, and the others are the portfolio, in
the order in which they are trained. After the end of the portfolio, the sampler draws the settings.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from raysearch.config import DataConfig, TrialConfig
from raysearch.fit.layout import Division, Round
from raysearch.io import write_yaml
from raysearch.paths import STUDY, FitPaths
from raysearch.shipped import find_file
from raysearch.space import Space, load_space, space_from
from raysearch.space.schema import KeyPath, dotted, flatten, unflatten

TEMPLATE = "fit"
LONG_PASSES = 150_000
"""Images in training from which the first entry of the portfolio, with strong augmentation, comes before the second."""
WHERE = "the space of the fit"
"""Its name in messages"""
SMALL_BATCHES_UP_TO = 4000
"""Labelled images up to which batches are as small as in the template. More images learn from larger batches."""

LEAST_STEPS = 4
"""Steps of an epoch. Fewer images learn from smaller batches."""


def load_template(overrides: Sequence[str]) -> Space:
    """The included space `fit` with the user's ``overrides``. Raises `SpaceError`."""
    return load_space(find_file("spaces", TEMPLATE), overrides)


def find_given(overrides: Sequence[str], template: Space) -> dict[str, Any]:
    """The values of `trial` that the user has set, by dotted path below `trial`."""
    leaves = flatten(TrialConfig, template.resolved["trial"])
    paths = [text.partition("=")[0].strip().removeprefix("trial.") for text in overrides if text.startswith("trial.")]
    return {path: leaves[tuple(path.split("."))] for path in paths if tuple(path.split(".")) in leaves}


def decide(
    template: Space,
    *,
    data: DataConfig,
    division: Division,
    backbone: str,
    image_size: int,
    images: int,
    resources: Mapping[str, Any],
    given: Mapping[str, Any],
) -> Space:
    """``template`` for this data and this machine, without trials. Values in ``given`` (`find_given`) stay.

    ``images``: number of images that a network learns from.
    """
    values = deepcopy(template.resolved)
    values["study"] = STUDY
    values["data"] = data.model_dump() | {"folds": division.folds, "folds_trained": division.folds_trained}
    values["data"] |= {"merged_held_out_per_class": division.held_out_per_class or None}
    values["resources"] |= resources
    trial = values["trial"]
    decided: dict[KeyPath, Any] = {("backbone",): backbone, ("image_size",): image_size}
    decided["augment", "crop_padding"] = max(2, image_size // 8)
    batch = trial["batch_size"]
    if images > SMALL_BATCHES_UP_TO:
        decided["batch_size",] = 4 * batch
        decided["optimizer", "lr_batch"] = 2 * batch  # the rate grows half as fast as the batch
    elif images < LEAST_STEPS * batch:
        decided["batch_size",] = max(2, images // LEAST_STEPS)
        decided["optimizer", "lr_batch"] = batch
    if data.source == "digits":
        decided["augment", "hflip"] = 0.0  # a mirrored digit is not a digit
    leaves = flatten(TrialConfig, trial)
    leaves |= {path: value for path, value in decided.items() if dotted(path) not in given}
    if "inference.mirror" not in given:  # a view at no cost in training, where mirror images keep their meaning
        leaves["inference", "mirror"] = leaves["augment", "hflip"] != 0
    values["trial"] = unflatten(leaves)
    values["search"]["first"] = []
    return space_from(values, WHERE)


def add_round(space: Space, round_: Round, template: Space, passes: int) -> Space:
    """``space`` with the trials of one more round, in which a network sees ``passes`` images in training."""
    values = deepcopy(space.resolved)
    quick, *portfolio = template.search.first
    if passes < LONG_PASSES:
        portfolio[:2] = portfolio[1::-1]
    first = values["search"]["first"]
    used = [_setting(entry) for entry in first]
    if used[:1] == [quick]:
        del used[0]
    for _ in range(round_.trials):
        setting = quick if round_.is_quick else next((each for each in portfolio if each not in used), {})
        used.append(setting)
        first.append(deepcopy(setting) | {"epochs": round_.epochs, "time_limit_s": round(round_.time_limit_s, 1)})
    values["search"]["trials"] = len(first)
    return space_from(values, WHERE)


def with_timeout(space: Space, seconds: float) -> Space:
    """``space`` with a time limit for the search."""
    return space_from(space.resolved | {"search": space.resolved["search"] | {"timeout_s": round(seconds, 1)}}, WHERE)


def _setting(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in ("epochs", "time_limit_s")}


def write_space(paths: FitPaths, space: Space) -> None:
    write_yaml(paths.space, space.resolved)
