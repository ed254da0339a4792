"""Applies the augmentation operations of a training to a few images, one more operation per row.

Every row uses the training's own functions and the same seed. So the earlier operations give the same result as in the
row above.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from raysearch.augment import Mix, augment_view, draw_mix, finish_view
from raysearch.config import IMAGE_MEAN, IMAGE_STD, AugmentConfig, TrialConfig
from raysearch.models import normalise
from raysearch.space import Space

DRAWS = 20
"""Attempts to draw a mixed batch; with `mix_prob` below 1 some batches are not mixed."""


@dataclass(frozen=True)
class Row:
    """``images``: one per column, uint8 [height, width, 3] of any size; ``captions``: one below each image."""

    name: str
    images: Sequence[np.ndarray]
    captions: Sequence[str] = ()


class MidpointTrial:
    """Replaces an Optuna trial: suggests the first option of a choice and the middle of a range."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return math.sqrt(low * high) if log else (low + high) / 2

    def suggest_int(self, name: str, low: int, high: int) -> int:
        return (low + high) // 2

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return choices[0]


def first_trial(space: Space) -> TrialConfig:
    """The first trial of the space. Values that `search.first` does not set come from `MidpointTrial`."""
    return space.trial.suggest(MidpointTrial(), next(iter(space.search.first), {}))


def build_rows(
    stage: TrialConfig,
    images: Tensor | Sequence[np.ndarray],
    labels: Tensor,
    classes: Sequence[str],
    seed: int = 0,
) -> list[Row]:
    """Rows for the operations and the mixing of each view.

    ``images`` as for `augment_view`; ``labels`` int64 [batch].
    """
    arrays = list(images.permute(0, 2, 3, 1).numpy()) if isinstance(images, Tensor) else list(images)
    rows = [Row("original", arrays, [classes[label] for label in labels])]
    mix = _first_mix(stage, len(labels), seed)
    for number in range(stage.method.views):
        last = torch.empty(0)
        for name, last in _view(stage, images, seed + 1 + number):
            rows.append(Row(f"view {number + 1}: {name}", _pixels(last)))
        if mix is not None:
            name = f"view {number + 1}: {type(mix).__name__.lower()}"
            rows.append(Row(name, _pixels(mix.images(last)), _targets(mix, labels, classes)))
    return rows


def _view(stage: TrialConfig, images: Tensor | Sequence[np.ndarray], seed: int) -> Iterator[tuple[str, Tensor]]:
    """Name and normalised result, float [batch, 3, height, width], of every operation that is switched on."""
    augment, size = stage.augment, stage.image_size
    config = augment.model_copy(
        update={"hflip": 0.0, "stubborn": augment.stubborn.model_copy(update={"probability": 0.0}), "policy": "none"}
    )
    view = torch.empty(0)
    for name, values in _before_normalising(augment).items():
        config = config.model_copy(update=values)
        is_stubborn = torch.ones(len(images), dtype=torch.bool)
        view = normalise(augment_view(images, config, size, Generator().manual_seed(seed), is_stubborn))
        yield name, view
    config = config.model_copy(update={"erasing": 0.0, "cutout": 0.0})
    for name in ("erasing", "cutout"):
        if probability := getattr(augment, name):
            config = config.model_copy(update={name: probability})
            yield f"{name}, p {probability:g}", finish_view(view, config, Generator().manual_seed(seed))


def _before_normalising(augment: AugmentConfig) -> dict[str, dict[str, Any]]:
    """The operations before normalisation: the row name, and the config values that switch the operation on."""
    crops = {"pad": f"crop, padding {augment.crop_padding}", "resized": "random resized crop", "none": "no crop"}
    steps: dict[str, dict[str, Any]] = {crops[augment.crop]: {}}
    if augment.hflip:
        steps[f"flip, p {augment.hflip:g}"] = {"hflip": augment.hflip}
    if augment.stubborn.probability:
        steps[f"if stubborn, p {augment.stubborn.probability:g}"] = {"stubborn": augment.stubborn}
    if augment.policy != "none":
        steps[augment.policy] = {"policy": augment.policy}
    return steps


def _first_mix(stage: TrialConfig, batch: int, seed: int) -> Mix | None:
    size = stage.image_size
    seeds = range(seed, seed + DRAWS)
    drawn = (draw_mix(stage.augment, batch, size, size, Generator().manual_seed(s)) for s in seeds)
    return next((mix for mix in drawn if mix is not None), None)


def _targets(mix: Mix, labels: Tensor, classes: Sequence[str]) -> list[str]:
    """Captions such as ``cat 0.70 / dog 0.30``, one per image, with the largest share first."""
    captions = []
    for slots, masses in zip(*(part.tolist() for part in mix.labels(labels)), strict=True):
        shares = {label: sum(m for s, m in zip(slots, masses, strict=True) if s == label) for label in slots}
        ordered = sorted(shares.items(), key=lambda item: -item[1])
        captions.append(" / ".join(f"{classes[label]} {share:.2f}" for label, share in ordered if share >= 0.005))
    return captions


def _pixels(normalised: Tensor) -> list[np.ndarray]:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGE_MEAN, IMAGE_STD))
    pixels = ((normalised * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)
    return list(pixels.permute(0, 2, 3, 1).numpy())
