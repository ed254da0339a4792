"""`python -m raysearch.ensemble STUDY_DIR`: select an ensemble of a study's trials, and say what it is worth."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from raysearch.cli import run
from raysearch.ensemble import Ensemble, Member, Recipe, build_ensemble, is_dropped, read_recipe, write_ensemble
from raysearch.ensemble.shown import figures_table, members_table, sentences
from raysearch.io import display_path, read_json
from raysearch.paths import StudyPaths, view_parts


def command(
    study_dir: Annotated[
        Path, typer.Argument(help="The study's folder, as raysearch.tune printed it.", show_default=False)
    ],
    recipe: Annotated[
        Path | None,
        typer.Option(
            help="How to select, a YAML file such as those in ensembles/: greedy, bagged, uniform, papers16, jz6. "
            "Default: greedy selection, as in ensembles/greedy.yaml."
        ),
    ] = None,
    add: Annotated[
        list[Path] | None,
        typer.Option(
            help="Predictions of any other model on the study's held-out samples, as a further candidate: a .parquet "
            "or .csv file with a column id (or sample_id), and for each class a column prob_<class> (or <class>) with "
            "its probability; rows in any order. The model must not have been trained on these samples. Repeatable."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the written file instead of tables.")] = False,
) -> None:
    """Select an ensemble from a study's stored held-out predictions.

    Writes STUDY_DIR/ensembles/NAME.json and prints the members with weight and contribution, and accuracy and
    log loss: cross-fitted (on samples that did not choose) and in-sample (optimistic), with what they speak for.
    Nothing is trained and no checkpoint is opened.
    """
    study = StudyPaths(study_dir)
    with Console(stderr=True).status("Selecting, and again on each fold's other samples"):
        ensemble = build_ensemble(study, read_recipe(recipe) if recipe else Recipe(), add or ())
    path = study.ensemble(ensemble.name)
    write_ensemble(path, ensemble)
    if as_json:
        print(json.dumps(read_json(path), indent=2))
    else:
        _show(study, ensemble)


def _show(study: StudyPaths, ensemble: Ensemble) -> None:
    console = Console(markup=False, highlight=False, soft_wrap=True)
    dropped = [member for member in ensemble.members if _is_dropped(study, member)]
    others = [member.name for member in ensemble.members if member.trial is None]
    for table in (members_table(ensemble, dropped), figures_table(ensemble)):
        console.print(table)
        console.print()
    for sentence in sentences(ensemble):
        console.print(sentence)
    for note in ensemble.notes:
        console.print(f"Note: {note}.")
    if dropped:
        console.print(
            f"Without weights, by the budget search.checkpoints_gb: {', '.join(member.name for member in dropped)}. "
            "raysearch.export says how to train them again."
        )
    if others:
        console.print(f"Made elsewhere: {', '.join(others)}. raysearch.export cannot ship an ensemble with them.")
    console.print(f"Written to {display_path(study.ensemble(ensemble.name))}")


def _is_dropped(study: StudyPaths, member: Member) -> bool:
    """Whether the search has removed the weights of a member, whose predictions it keeps."""
    return member.trial is not None and is_dropped(study.trial(member.trial), view_parts(member.view).role)


if __name__ == "__main__":
    run(command)
