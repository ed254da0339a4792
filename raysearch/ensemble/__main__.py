"""`python -m raysearch.ensemble STUDY_DIR`: select an ensemble of a study's trials, and say what it is worth."""

from pathlib import Path
from typing import Annotated

import typer

from raysearch.cli import application, run


def command(
    study_dir: Annotated[
        Path,
        typer.Argument(
            metavar="STUDY_DIR", help="The study's folder, as raysearch.tune printed it.", show_default=False
        ),
    ],
    recipe: Annotated[
        str | None,
        typer.Option(
            help="How to select: a recipe that ships (greedy, bagged, uniform, papers16, jz6) or a YAML file. "
            "Default: greedy.",
            metavar="NAME|FILE",
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
    from raysearch.ensemble.selecting import select_ensemble  # imports numpy and pyarrow

    select_ensemble(study_dir, recipe, add or (), as_json=as_json)


app = application(command)

if __name__ == "__main__":
    run(app)
