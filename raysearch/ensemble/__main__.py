"""`python -m raysearch.ensemble STUDY_DIR`: select an ensemble from a study's trials and estimate its score."""

from pathlib import Path
from typing import Annotated

import typer

from raysearch.cli import application, run


def command(
    study_dir: Annotated[
        Path,
        typer.Argument(
            metavar="STUDY_DIR", help="Folder of the study, printed by `raysearch tune`.", show_default=False
        ),
    ],
    recipe: Annotated[
        str | None,
        typer.Option(
            help="The selection recipe: the name of an included recipe (greedy, bagged, uniform, papers16, jz6) or a "
            "YAML file. Default: greedy.",
            metavar="NAME|FILE",
        ),
    ] = None,
    add: Annotated[
        list[Path] | None,
        typer.Option(
            help="Add another model's predictions on the study's held-out samples as a candidate: a .parquet or .csv "
            "file with a column id (or sample_id) and one column prob_<class> (or <class>) per class with its "
            "probability; rows in any order. The model must not be trained on these samples. Repeatable."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the written JSON file instead of tables.")] = False,
) -> None:
    """Select an ensemble from a study's stored held-out predictions.

    Writes STUDY_DIR/ensembles/NAME.json. Prints each member's weight and
    contribution, accuracy and log loss, and a recommendation. Cross-fitted figures
    use samples that the selection did not see; in-sample figures are optimistic.
    This command trains nothing and opens no checkpoint.
    """
    from raysearch.ensemble.selecting import select_ensemble  # imports numpy and pyarrow

    select_ensemble(study_dir, recipe, add or (), as_json=as_json)


app = application(command)

if __name__ == "__main__":
    run(app)
