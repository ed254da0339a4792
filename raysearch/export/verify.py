"""`python -m raysearch.export.verify SET STUDY ENSEMBLE SOURCE`: the check of a written set, as its own process.

Prints one line of JSON, a `Check` or the faults found.
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
    """Print the check of a set as one line of JSON."""
    set_dir, study, ensemble, source = arguments
    try:
        check = check_set(Path(set_dir), read_selected(StudyPaths(Path(study)), ensemble, source))
        print(json.dumps(asdict(check)))
    except UserError as error:
        print(json.dumps({"faults": error.faults}))


if __name__ == "__main__":
    main(sys.argv[1:])
