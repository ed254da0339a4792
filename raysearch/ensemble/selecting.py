"""Selects an ensemble from a study's trials, writes it and prints it."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from raysearch.ensemble.build import build_ensemble
from raysearch.ensemble.library import is_dropped
from raysearch.ensemble.recipe import Recipe, read_recipe
from raysearch.ensemble.results import Ensemble, Member, write_ensemble
from raysearch.ensemble.terminal import figures_table, members_table, sentences
from raysearch.io import display_path, read_json
from raysearch.paths import StudyPaths, view_parts
from raysearch.shipped import find_file


def select_ensemble(study_dir: Path, recipe: str | None, add: Sequence[Path] = (), *, as_json: bool = False) -> None:
    """Select an ensemble from the study in ``study_dir``; the arguments are the options of `raysearch.ensemble`.

    Raises `UserError`, `StudyError` and `PredictionsError`.
    """
    study = StudyPaths(study_dir)
    with Console(stderr=True).status("Selecting on all samples, then for each fold"):
        ensemble = build_ensemble(study, read_recipe(find_file("ensembles", recipe)) if recipe else Recipe(), add)
    path = study.ensemble(ensemble.name)
    write_ensemble(path, ensemble)
    if as_json:
        print(json.dumps(read_json(path), indent=2))
    else:
        _show(study, ensemble)


def _show(study: StudyPaths, ensemble: Ensemble) -> None:
    console = Console(markup=False, highlight=False, soft_wrap=True)
    dropped = [member for member in ensemble.members if _is_dropped(study, member)]
    external = [member.name for member in ensemble.members if member.trial is None]
    for table in (members_table(ensemble, dropped), figures_table(ensemble)):
        console.print(table)
        console.print()
    for sentence in sentences(ensemble):
        console.print(sentence)
    for note in ensemble.notes:
        console.print(f"Note: {note}.")
    if dropped:
        console.print(
            f"Weights removed to stay within search.checkpoints_gb: {', '.join(member.name for member in dropped)}. "
            "`raysearch export` shows how to train them again."
        )
    if external:
        console.print(f"Added with --add: {', '.join(external)}. `raysearch export` cannot export these members.")
    console.print(f"Written to {display_path(study.ensemble(ensemble.name))}")


def _is_dropped(study: StudyPaths, member: Member) -> bool:
    """Whether the search removed the member's weights; it keeps the predictions."""
    return member.trial is not None and is_dropped(study.trial(member.trial), view_parts(member.view).role)
