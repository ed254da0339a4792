"""What to do about weights that the search's budget had no room for: train them again, or leave them out."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raysearch.config import TrainingConfig
from raysearch.ensemble import Member
from raysearch.export.selected import SelectedEnsemble
from raysearch.io import display_path, read_json, read_yaml
from raysearch.paths import TrialPaths, view_parts
from raysearch.section import validate
from raysearch.study_file import read_study_file
from raysearch.train.result import read_metrics, read_result

HALVED_AT_ONCE = "out of memory in epoch 1:"
"""How `smaller_batches.txt` begins where the config on disk is what the whole training was made with."""


def is_dropped(trial: TrialPaths, role: str) -> bool:
    """Whether the search removed these weights, to keep within `search.checkpoints_gb`."""
    return role in ((read_result(trial) or {}).get("dropped") or ()) and not trial.weights(role).is_file()


def fault_of_dropped(selected: SelectedEnsemble, members: Sequence[Member]) -> str:
    """Which weights of one trial were dropped that ``members``, all of them, need, and the commands that help.

    A trial's config makes the same bytes again, unless it changed in mid-training or the weights are of an unfinished
    epoch. The weights of a trial that was stopped early are those of its best epoch until then, so the training has to
    be stopped early again.
    """
    trial = selected.paths.trial(members[0].trial)
    roles = sorted({view_parts(member.view).role for member in members})
    files = " and ".join(display_path(trial.weights(role)) for role in roles)
    needed = f"{files}: dropped within search.checkpoints_gb, but needed for {', '.join(m.name for m in members)}"
    kept = max(read_json(trial.result)["views"][f"{role}-final"]["epoch"] for role in roles)
    if obstacle := _obstacle(trial, kept):
        stored = " ".join(f"{_quoted(trial.predictions(f'{role}-final').parent)}/{role}-*.arrow" for role in roles)
        return (
            f"{needed}; {obstacle}, so that the same bytes cannot be trained again: leave out what needs them, by "
            f"`rm {stored}`, and run raysearch.ensemble again"
        )
    again = TrialPaths(selected.paths.root.with_name(f"{selected.paths.root.name}-again") / trial.root.name)
    copied = " ".join(_quoted(again.weights(role)) for role in roles)
    stop = ""
    if read_json(trial.result)["state"] == "PRUNED":
        stop = f", stopped with Ctrl-C right after its line of epoch {kept} (the search stopped it early, too)"
    return (
        f"{needed}; the same kind of machine makes the same bytes: `{_training(selected, trial, again)}`{stop}, then "
        f"`cp {copied} {_quoted(trial.checkpoints)}/`"
    )


def _obstacle(trial: TrialPaths, kept: int) -> str | None:
    """Why the training cannot be repeated up to the epoch of the weights, if it cannot."""
    halved = trial.smaller_batches
    if halved.is_file() and not halved.read_text("utf-8").startswith(HALVED_AT_ONCE):
        return "its batches were halved in mid-training, for want of memory"
    last: dict[str, Any] = next(iter(read_metrics(trial)[-1:]), {})
    if last.get("partial") and last["epoch"] == kept:
        return f"the search stopped it within epoch {kept}"
    return None


def _training(selected: SelectedEnsemble, trial: TrialPaths, again: TrialPaths) -> str:
    """The command that trains ``trial`` into ``again``, with the processes and threads of the search."""
    resources = (read_study_file(selected.paths).space.model_extra or {}).get("resources") or {}
    workers, threads = resources.get("workers", 1), resources.get("cpus_per_worker", 1)
    start = "python" if workers == 1 else f"torchrun --nproc-per-node {workers}"
    config = validate(TrainingConfig, read_yaml(trial.config), display_path(trial.config))
    moved = config.data.source != selected.data.source
    data = f" --data {shlex.quote(selected.data.source)}" if moved else ""
    return f"{start} -m raysearch.train {_quoted(trial.config)} --out {_quoted(again.root)} --threads {threads}{data}"


def _quoted(path: Path) -> str:
    return shlex.quote(display_path(path))
