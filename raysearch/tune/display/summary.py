"""What a search prints at its end: the best trials and the next command."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FixedTrial
from rich.console import Console
from rich.table import Table

from raysearch.config import TrainingConfig
from raysearch.io import read_yaml
from raysearch.paths import StudyPaths
from raysearch.space import Space
from raysearch.train.result import read_result
from raysearch.tune.display.lines import ValueFormat
from raysearch.tune.values import BY_SCHEDULER


def print_summary(paths: StudyPaths, space: Space, words: Sequence[str]) -> None:
    """Print the best trials and the next command.

    ``space`` has the study's total number of trials. ``words`` are the arguments of the search's command line.
    """
    trials = space.search.trials
    results = _results(paths)
    ended = [result for result in results if result["value"] is not None and result["state"] != "FAIL"]
    if ended:
        Console().print(_make_table(ended, ValueFormat(space.search.objective)))
    cut_off = sum(result["state"] == "PRUNED" and result["reason"] != BY_SCHEDULER for result in ended)
    if len(ended) < trials:
        resume = _format_command(words, _total_if_relative(words, trials))
        print(f"\n{len(ended)} of {trials} trials ended. To continue: {resume}")
    elif cut_off:
        resume = _format_command(words, f"+{cut_off}")
        print(f"\n{cut_off} of the {trials} trials were interrupted. To run as many more: {resume}")
    if ended:
        print(f"\nNext: raysearch ensemble {shlex.quote(str(paths.root))}")


def print_ablation_summary(paths: StudyPaths, space: Space, words: Sequence[str]) -> None:
    """Print how many of the ablation's trainings are complete, and the next command."""
    assert space.ablation is not None
    configs = [space.trial.suggest(FixedTrial({}), training.fixed) for training in space.ablation.trainings]
    complete = [
        TrainingConfig.model_validate(read_yaml(folder.config)).trial
        for _, folder in paths.trials()
        if (result := read_result(folder)) and result["state"] == "COMPLETE"
    ]
    if missing := sum(config not in complete for config in configs):
        done = len(configs) - missing
        print(f"\n{done} of {len(configs)} trainings are complete. To continue: {_format_command(words)}")
    print(f"\nNext: raysearch report {shlex.quote(str(paths.root))}")


def _results(paths: StudyPaths) -> list[dict[str, Any]]:
    return [result for _, folder in paths.trials() if (result := read_result(folder))]


def _format_command(words: Sequence[str], trials: str | None = None) -> str:
    """The command that resumes the search. ``trials`` replaces the value of `--trials`."""
    if trials:
        words = [*_without("--trials", words), "--trials", trials]
    return f"raysearch tune {shlex.join(word for word in words if word != '--resume')} --resume"


def _total_if_relative(words: Sequence[str], trials: int) -> str | None:
    """The total number of trials if the command has `--trials +N`, which would add N again; else None."""
    return str(trials) if any(word.startswith(("+", "--trials=+")) for word in words) else None


def _without(option: str, words: Sequence[str]) -> list[str]:
    """``words`` without an option and its value."""
    rest = iter(words)
    return [word for word in rest if not (word == option and next(rest, "")) and not word.startswith(f"{option}=")]


def _make_table(ended: Sequence[Mapping[str, Any]], values: ValueFormat) -> Table:
    """The five best trials."""
    table = Table(box=None, pad_edge=False)
    by_gain = values.objective == "ensemble_gain"
    for name in ("trial", "state", *(["gain"] if by_gain else []), "value", "backbone", "better role", "epochs"):
        table.add_column(name, justify="right" if name in ("trial", "gain", "value", "epochs") else "left")
    for result in sorted(ended, key=values.rank, reverse=True)[:5]:
        gain = result.get("ensemble_gain")
        gains = [] if not by_gain else ["-" if gain is None else f"{gain:.4f}"]
        epochs = f"{result['epochs_done']}/{result['epochs']}"
        row = (str(result["trial_number"]), result["state"], *gains, f"{result['value']:.4f}")
        table.add_row(*row, result["backbone"], result["role"], epochs)
    return table
