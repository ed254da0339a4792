"""Run the benchmarks and print a JSON line for each, then a table: ``python -m benchmarks [--only NAME]``.

Exits with 1 if a row misses its bound or fails. A row whose peer is not installed is open: it neither passes nor fails.
"""

import logging
import sys
from typing import Annotated

import typer

from benchmarks.harness import circumstances, run, table
from benchmarks.rows import ROWS


def main(only: Annotated[str, typer.Option(help="Run only this row.")] = "") -> None:
    """Measure our speed against other libraries."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if only and only not in ROWS:
        print(f"--only: got {only!r}; known: {', '.join(ROWS)}", file=sys.stderr)
        raise typer.Exit(2)
    outcomes = run({only: ROWS[only]} if only else ROWS)
    print(f"\n{table(outcomes)}\n\n{circumstances()}")
    if any(outcome.ok is False for outcome in outcomes):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
