"""`python -m raysearch.report STUDY_DIR`: write the study's page."""

from pathlib import Path
from typing import Annotated

import typer

from raysearch.cli import application, run
from raysearch.io import display_path


def command(
    study_dir: Annotated[
        Path, typer.Argument(metavar="STUDY_DIR", help="The folder of a study, finished or still running.")
    ],
) -> None:
    """Write STUDY_DIR/report.html: leaderboard, search history, learning curves and ensembles on one page.

    The page needs no network and no other file. It is read from the study's small files only, so it can be
    written at any time; writing it again replaces it. The tables of an ablation are printed as Markdown too.
    """
    from raysearch.report.ablation import tables_of
    from raysearch.report.page import write_report  # jinja2 would slow --help
    from raysearch.report.reading import read_study
    from raysearch.report.tables import markdown

    study = read_study(study_dir)
    print(f"report: {display_path(write_report(study))}")
    if tables := tables_of(study):
        print(f"\n{markdown(tables)}")


app = application(command)

if __name__ == "__main__":
    run(app)
