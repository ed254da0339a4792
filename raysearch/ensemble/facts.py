"""A trial's backbone, config values and network costs, read from its small files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raysearch.io import read_json, read_yaml
from raysearch.paths import TrialPaths, view_parts


@dataclass(frozen=True)
class Facts:
    """Facts of one finished trial; None or empty if its files lack them."""

    backbone: str | None
    num_parameters: int | None
    """Sum over the networks of all its trainings"""
    latency_ms: Mapping[str, float]
    """Milliseconds per image for one pass through the networks of all its trainings, by `name_forward_pass`"""


def read_facts(trial: TrialPaths) -> Facts:
    """Read `result.json`, which must exist. Multiplies the costs of one network by the number of trainings."""
    result: dict[str, Any] = read_json(trial.result)
    networks = len(trial.trainings)
    parameters, latency = result.get("num_parameters"), result.get("latency_ms") or {}
    return Facts(
        backbone=result.get("backbone"),
        num_parameters=parameters * networks if parameters is not None else None,
        latency_ms={run: ms * networks for run, ms in latency.items()},
    )


def name_forward_pass(view: str) -> str:
    """The forward pass that a view needs, as a key of `latency_ms`: `center`, `mirror`, `tencrop` or `40px`."""
    return view_parts(view).mode


def config_value(trial: TrialPaths, place: str) -> Any:
    """The value at path ``place`` below `trial` in `config.yaml`, or None; the last stage's value takes precedence."""
    config = (read_yaml(trial.config) if trial.config.is_file() else {}).get("trial", {})
    for section in (*(config.get("stages") or [])[-1:], config):
        value: Any = section
        for key in place.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            return value
    return None
