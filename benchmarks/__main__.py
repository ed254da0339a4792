"""Measure the rows and print each with a JSON line, then a table: ``python -m benchmarks [--only NAME]``.

Exits with 1 when a row is not ok. A row whose peer is not installed is open: not passed, and no failure.
"""

import logging
import sys
from typing import Annotated

import typer

from benchmarks.harness import circumstances, run, table
from benchmarks.rows import ROWS


def main(only: Annotated[str, typer.Option(help="Measure this row alone.")] = "") -> None:
    """Measure what is claimed to be fast against its peers."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if only and only not in ROWS:
        print(f"--only: got {only!r}; the rows are {', '.join(ROWS)}", file=sys.stderr)
        raise typer.Exit(2)
    outcomes = run({only: ROWS[only]} if only else ROWS)
    print(f"\n{table(outcomes)}\n\n{circumstances()}")
    if any(outcome.ok is False for outcome in outcomes):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
