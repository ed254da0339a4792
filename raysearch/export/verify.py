"""`python -m raysearch.export.verify SET STUDY ENSEMBLE SOURCE [REFIT]`: verify a set in its own process.

Prints one line of JSON: a `Check`, or the faults.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from raysearch.errors import UserError
from raysearch.export.check import check_set
from raysearch.export.selected import read_selected
from raysearch.paths import StudyPaths


def main(arguments: list[str]) -> None:
    """Print the result of `check_set` as one line of JSON."""
    set_dir, study, ensemble, source, *refit = arguments
    try:
        selected = read_selected(
            StudyPaths(Path(study)), ensemble, source, StudyPaths(Path(refit[0])) if refit else None
        )
        print(json.dumps(asdict(check_set(Path(set_dir), selected))))
    except UserError as error:
        print(json.dumps({"faults": error.faults}))


if __name__ == "__main__":
    main(sys.argv[1:])
