"""What a trial's small files say of it: its backbone, its config, and what its networks cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raysearch.io import read_json, read_yaml
from raysearch.paths import TrialPaths, view_parts


@dataclass(frozen=True)
class Facts:
    """Of one finished trial; what its files do not say is None or empty."""

    backbone: str | None
    num_parameters: int | None
    """Of all its trainings' networks together"""
    latency_ms: Mapping[str, float]
    """Milliseconds an image for a pass of all its trainings' networks, by `run_of`"""


def read_facts(trial: TrialPaths) -> Facts:
    """From `result.json`, which must be there; the figures of one network times the number of trainings."""
    result: dict[str, Any] = read_json(trial.result)
    networks = len(trial.trainings)
    parameters, latency = result.get("num_parameters"), result.get("latency_ms") or {}
    return Facts(
        backbone=result.get("backbone"),
        num_parameters=parameters * networks if parameters is not None else None,
        latency_ms={run: ms * networks for run, ms in latency.items()},
    )


def run_of(view: str) -> str:
    """The forward pass that a view needs, as `latency_ms` names it: `center`, `tencrop` or `40px`."""
    parts = view_parts(view)
    return "tencrop" if parts.is_tencrop else f"{parts.side}px" if parts.side else "center"


def config_value(trial: TrialPaths, place: str) -> Any:
    """What stands at a dotted ``place`` below `trial` in `config.yaml`, or None; of the last stage, if that has it."""
    config = (read_yaml(trial.config) if trial.config.is_file() else {}).get("trial", {})
    for section in (*(config.get("stages") or [])[-1:], config):
        value: Any = section
        for key in place.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is not None:
            return value
    return None
