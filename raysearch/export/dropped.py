"""Messages about weights that the search dropped to save disk space: how to train them again, or leave them out."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raysearch.ensemble.results import Member
from raysearch.export.selected import SelectedEnsemble, get_trial_number
from raysearch.export.trainings import Training
from raysearch.io import display_path, read_json
from raysearch.paths import TrialPaths, view_parts
from raysearch.train.result import find_best_line, read_metrics

HALVED_AT_ONCE = "out of memory in epoch 1:"
"""Start of `smaller_batches.txt` if epoch 1 halved the batch size: the config holds for all epochs."""


def explain_dropped(selected: SelectedEnsemble, members: Sequence[Member]) -> str:
    """Return a message that names the dropped weights that ``members`` of one trial need, and the commands that help.

    A training with the same config gives the same bytes, unless the config changed during training or the weights come
    from an unfinished epoch. The weights of a trial that was stopped early come from its best epoch before the stop, so
    the new training must be stopped early, too.
    """
    number = get_trial_number(members[0])
    trial, trainings = selected.paths.trial(number), selected.trainings[number]
    roles = sorted({view_parts(member.view).role for member in members})
    missing = {training: [r for r in roles if not training.paths.weights(r).is_file()] for training in trainings}
    files = [display_path(training.paths.weights(role)) for training, lost in missing.items() for role in lost]
    needed = (
        f"{' and '.join(files)}: dropped to keep within search.checkpoints_gb, but needed for "
        f"{', '.join(member.name for member in members)}"
    )
    if obstacle := next(filter(None, (_find_obstacle(training, lost) for training, lost in missing.items())), None):
        stored = " ".join(f"{_quoted(trial.predictions(f'{role}-final').parent)}/{role}-*.arrow" for role in roles)
        return (
            f"{needed}; {obstacle}, so a new training cannot reproduce them: remove the predictions that need them "
            f"(`rm {stored}`) and run raysearch ensemble again"
        )
    was_stopped = read_json(trial.result)["state"] == "PRUNED"
    remedies = [_build_remedy(selected, training, lost, was_stopped) for training, lost in missing.items() if lost]
    return f"{needed}; train them again on the same kind of machine: {'; '.join(remedies)}"


def _build_remedy(selected: SelectedEnsemble, training: Training, roles: Sequence[str], was_stopped: bool) -> str:
    """The commands that train again and copy the weights back into the study."""
    study = selected.paths.root
    again = TrialPaths(study.with_name(f"{study.name}-again") / training.paths.root.relative_to(study / "trials"))
    copied = " ".join(_quoted(again.weights(role)) for role in roles)
    epoch = _find_kept_epoch(training, roles)
    stop = f", stop it with Ctrl-C right after it prints epoch {epoch} (the search stopped it early, too)"
    return (
        f"`{_build_train_command(selected, training, again)}`{stop if was_stopped else ''}, then "
        f"`cp {copied} {_quoted(training.paths.checkpoints)}/`"
    )


def _find_kept_epoch(training: Training, roles: Sequence[str]) -> int:
    """The last epoch from which the search kept the weights of any of ``roles``."""
    lines, config = read_metrics(training.paths), training.config
    latest = config.data.merged_held_out_per_class is not None
    bests = [find_best_line(lines, role, config.objective, latest) for role in roles]
    return max((best[0]["epoch"] for best in bests if best), default=0)


def _find_obstacle(training: Training, roles: Sequence[str]) -> str | None:
    """The reason why a new training cannot reproduce the missing weights of ``roles``; None if it can."""
    if not roles:
        return None
    halved = training.paths.smaller_batches
    if halved.is_file() and not halved.read_text("utf-8").startswith(HALVED_AT_ONCE):
        return "its batch size was halved during training because memory ran out"
    last: dict[str, Any] = next(iter(read_metrics(training.paths)[-1:]), {})
    if last.get("partial") and last["epoch"] == _find_kept_epoch(training, roles):
        return f"the search stopped it during epoch {last['epoch']}"
    return None


def _build_train_command(selected: SelectedEnsemble, training: Training, again: TrialPaths) -> str:
    """The command that trains into ``again``, with as many processes and threads as the search used."""
    resources = (selected.file.space.model_extra or {}).get("resources") or {}
    workers, threads = resources.get("workers", 1), resources.get("cpus_per_worker", 1)
    start = "python" if workers == 1 else f"torchrun --nproc-per-node {workers}"
    moved = training.config.data.source != selected.data.source
    data = f" --data {shlex.quote(selected.data.source)}" if moved else ""
    config = _quoted(training.paths.config)
    return f"{start} -m raysearch.train {config} --out {_quoted(again.root)} --threads {threads}{data}"


def _quoted(path: Path) -> str:
    return shlex.quote(display_path(path))
