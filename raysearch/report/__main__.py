"""`python -m raysearch.report STUDY_DIR`: write the study's report."""

from pathlib import Path
from typing import Annotated

import typer

from raysearch.cli import application, run
from raysearch.io import display_path


def command(
    study_dir: Annotated[Path, typer.Argument(metavar="STUDY_DIR", help="Folder of a finished or running study.")],
) -> None:
    """Write STUDY_DIR/report.html: leaderboard, search history, learning curves and ensembles on one page.

    The page needs no network and no other file. This command reads only small files
    of the study, so you can run it at any time, also during a search. It replaces
    an earlier report. For an ablation, it also prints the tables as Markdown.
    """
    from raysearch.report.ablation import build_tables
    from raysearch.report.page import write_report  # imports jinja2, which slows --help
    from raysearch.report.reading import read_study
    from raysearch.report.tables import to_markdown

    study = read_study(study_dir)
    print(f"report: {display_path(write_report(study))}")
    if tables := build_tables(study):
        print(f"\n{to_markdown(tables)}")


app = application(command)

if __name__ == "__main__":
    run(app)
