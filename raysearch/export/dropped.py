"""What to do about weights that the search's budget had no room for: train them again, or leave them out."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raysearch.ensemble.results import Member
from raysearch.export.selected import SelectedEnsemble, trial_of
from raysearch.export.trainings import Training
from raysearch.io import display_path, read_json
from raysearch.paths import TrialPaths, view_parts
from raysearch.train.result import find_best_line, read_metrics

HALVED_AT_ONCE = "out of memory in epoch 1:"
"""How `smaller_batches.txt` begins where the config on disk is what the whole training was made with."""


def fault_of_dropped(selected: SelectedEnsemble, members: Sequence[Member]) -> str:
    """Which weights of one trial were dropped that ``members``, all of them, need, and the commands that help.

    A training's config makes the same bytes again, unless it changed in mid-training or the weights are of an
    unfinished epoch. The weights of a trial that was stopped early are those of its best epoch until then, so the
    training has to be stopped early again.
    """
    number = trial_of(members[0])
    trial, trainings = selected.paths.trial(number), selected.trainings[number]
    roles = sorted({view_parts(member.view).role for member in members})
    lacking = {training: [r for r in roles if not training.paths.weights(r).is_file()] for training in trainings}
    files = [display_path(training.paths.weights(role)) for training, lost in lacking.items() for role in lost]
    needed = (
        f"{' and '.join(files)}: dropped within search.checkpoints_gb, but needed for "
        f"{', '.join(member.name for member in members)}"
    )
    if obstacle := next((found for training in trainings if (found := _obstacle(training, lacking[training]))), None):
        stored = " ".join(f"{_quoted(trial.predictions(f'{role}-final').parent)}/{role}-*.arrow" for role in roles)
        return (
            f"{needed}; {obstacle}, so that the same bytes cannot be trained again: leave out what needs them, by "
            f"`rm {stored}`, and run raysearch.ensemble again"
        )
    was_stopped = read_json(trial.result)["state"] == "PRUNED"
    ways = [_way_back(selected, training, lost, was_stopped) for training, lost in lacking.items() if lost]
    return f"{needed}; the same kind of machine makes the same bytes: {'; '.join(ways)}"


def _way_back(selected: SelectedEnsemble, training: Training, roles: Sequence[str], was_stopped: bool) -> str:
    """The commands that train again and copy."""
    study = selected.paths.root
    again = TrialPaths(study.with_name(f"{study.name}-again") / training.paths.root.relative_to(study / "trials"))
    copied = " ".join(_quoted(again.weights(role)) for role in roles)
    kept = _kept_epoch(training, roles)
    stop = f", stopped with Ctrl-C right after its line of epoch {kept} (the search stopped it early, too)"
    return (
        f"`{_command(selected, training, again)}`{stop if was_stopped else ''}, then "
        f"`cp {copied} {_quoted(training.paths.checkpoints)}/`"
    )


def _kept_epoch(training: Training, roles: Sequence[str]) -> int:
    """The last epoch that any of these roles' weights are of."""
    lines, config = read_metrics(training.paths), training.config
    latest = config.data.merged_held_out_per_class is not None
    bests = [find_best_line(lines, role, config.objective, latest) for role in roles]
    return max((best[0]["epoch"] for best in bests if best), default=0)


def _obstacle(training: Training, roles: Sequence[str]) -> str | None:
    """Why a training that lacks the weights of ``roles`` cannot be repeated up to their epoch, if it cannot."""
    if not roles:
        return None
    halved = training.paths.smaller_batches
    if halved.is_file() and not halved.read_text("utf-8").startswith(HALVED_AT_ONCE):
        return "its batches were halved in mid-training, for want of memory"
    last: dict[str, Any] = next(iter(read_metrics(training.paths)[-1:]), {})
    if last.get("partial") and last["epoch"] == _kept_epoch(training, roles):
        return f"the search stopped it within epoch {last['epoch']}"
    return None


def _command(selected: SelectedEnsemble, training: Training, again: TrialPaths) -> str:
    """The command that trains into ``again``, with the processes and threads of the search."""
    resources = (selected.file.space.model_extra or {}).get("resources") or {}
    workers, threads = resources.get("workers", 1), resources.get("cpus_per_worker", 1)
    start = "python" if workers == 1 else f"torchrun --nproc-per-node {workers}"
    moved = training.config.data.source != selected.data.source
    data = f" --data {shlex.quote(selected.data.source)}" if moved else ""
    config = _quoted(training.paths.config)
    return f"{start} -m raysearch.train {config} --out {_quoted(again.root)} --threads {threads}{data}"


def _quoted(path: Path) -> str:
    return shlex.quote(display_path(path))
