"""`python -m raysearch.ensemble STUDY_DIR`: select an ensemble of a study's trials, and say what it is worth."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from raysearch.cli import run
from raysearch.ensemble import Ensemble, Member, Recipe, build_ensemble, read_recipe, write_ensemble
from raysearch.io import display_path, read_json
from raysearch.paths import StudyPaths, view_parts


def command(
    study_dir: Annotated[
        Path, typer.Argument(help="The study's folder, as raysearch.tune printed it.", show_default=False)
    ],
    recipe: Annotated[
        Path | None,
        typer.Option(help="How to select, a YAML file. Default: greedy selection, as in ensembles/greedy.yaml."),
    ] = None,
) -> None:
    """Select an ensemble from a study's stored held-out predictions.

    Writes STUDY_DIR/ensembles/NAME.json and prints members, weights and two figures: cross-fitted (on samples
    that did not choose) and in-sample (optimistic). Nothing is trained and no checkpoint is opened.
    """
    study = StudyPaths(study_dir)
    ensemble = build_ensemble(study, read_recipe(recipe) if recipe else Recipe())
    write_ensemble(study.ensemble(ensemble.name), ensemble)
    console = Console(markup=False, highlight=False, soft_wrap=True)
    dropped = [member for member in ensemble.members if _is_dropped(study, member)]
    console.print(_members(ensemble, dropped))
    console.print(_figures(ensemble))
    console.print(_verdict(ensemble))
    if dropped:
        console.print(
            f"Without weights, by the budget search.checkpoints_gb: {', '.join(member.name for member in dropped)}. "
            "raysearch.export says how to train them again."
        )
    console.print(f"Written to {display_path(study.ensemble(ensemble.name))}")


def _is_dropped(study: StudyPaths, member: Member) -> bool:
    """Whether the search has removed the weights of a member, whose predictions it keeps."""
    trial, role = study.trial(member.trial), view_parts(member.view).role
    return role in (read_json(trial.result).get("dropped") or ()) and not trial.weights(role).is_file()


def _members(ensemble: Ensemble, dropped: Sequence[Member]) -> Table:
    table = Table(
        title=f"Ensemble {ensemble.name}: {len(ensemble.members)} of {ensemble.candidates} candidates",
        title_justify="left",
    )
    table.add_column("member")
    table.add_column("weight", justify="right")
    if dropped:
        table.add_column("")
    for member in ensemble.members:
        table.add_row(member.name, f"{member.weight:.3f}", *(["weights dropped"] if member in dropped else []))
    return table


def _figures(ensemble: Ensemble) -> Table:
    single = ensemble.best_single
    table = Table(title=f"Accuracy (log loss) on {ensemble.n} held-out samples", title_justify="left")
    table.add_column("")
    table.add_column("cross-fitted", justify="right")
    table.add_column("in-sample", justify="right")
    for name, honest, optimistic in (
        ("ensemble", ensemble.cross_fitted, ensemble.in_sample),
        (f"best single ({single.name})", single.cross_fitted, single.in_sample),
    ):
        table.add_row(name, *(f"{100 * s.accuracy:.1f} % ({s.log_loss:.3f})" for s in (honest, optimistic)))
    return table


def _verdict(ensemble: Ensemble) -> str:
    gain = ensemble.gain
    figure = (
        f"Cross-fitted gain over the best single model: {100 * gain.accuracy:+.1f} points of accuracy, "
        f"{100 * gain.confidence:.0f} % interval {100 * gain.low:+.1f} to {100 * gain.high:+.1f}."
    )
    if gain.is_certain:
        return f"{figure}\nThe interval lies above zero: the ensemble is better."
    single = ensemble.best_single.name
    if gain.high < 0:
        return f"{figure}\nThe interval lies below zero: the single model {single} is better; prefer it."
    return (
        f"{figure}\nThe interval includes zero: these samples do not show that the ensemble is better. "
        f"The single model {single} is the simpler choice; prefer it."
    )


if __name__ == "__main__":
    run(command)
