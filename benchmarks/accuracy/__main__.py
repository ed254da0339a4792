"""Compare the accuracy of raysearch with other methods: ``python -m benchmarks.accuracy [--only PEER] [--data SET]``.

Every method gets the same labelled images, the same number of minutes and all cores of this machine, and trains from
scratch. Runs the cells that have no result yet, and appends a line to the results for each. Run it on a machine
without other work, because the budget is wall-clock time. Exits with 1 if a method fails.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.accuracy.cells import LABELS, cells_to_run, select_cells
from benchmarks.accuracy.data import DataMissing, prepare
from benchmarks.accuracy.peers import PEERS, SETS
from benchmarks.accuracy.results import append_line, read_lines, table
from benchmarks.accuracy.running import RESULTS, run_cell
from benchmarks.measure import PeerMissing


def main(
    only: Annotated[str, typer.Option(help="Run only this method.")] = "",
    data: Annotated[str, typer.Option(help="Run only on this set.")] = "",
    minutes: Annotated[
        float, typer.Option(min=0, help="Run only with this budget. 0: the planned budgets, 10 and 30 minutes.")
    ] = 0,
    labels: Annotated[int, typer.Option(help="Labelled images per class: 100 or 50.")] = 100,
    data_root: Annotated[Path, typer.Option(help="Folder with a folder of Parquet files for each set.")] = Path(
        "../shared/data"
    ),
    results: Annotated[Path, typer.Option(help="File of results.")] = RESULTS,
    again: Annotated[bool, typer.Option("--again", help="Also run cells that have a result.")] = False,
    table_only: Annotated[bool, typer.Option("--table", help="Print the table and run nothing.")] = False,
) -> None:
    """Compare the accuracy of raysearch with other methods in the same time."""
    require_known("--only", only, PEERS)
    require_known("--data", data, SETS)
    require_known("--labels", str(labels), [str(number) for number in LABELS])
    failed = []
    if not table_only:
        warn_if_busy()
        selected = select_cells(only or None, data or None, minutes or None, labels)
        for cell in cells_to_run(selected, read_lines(results), again):
            print(f"{cell} ...", flush=True)
            try:
                with tempfile.TemporaryDirectory() as name:
                    images = prepare(cell.data, cell.labels, data_root, Path(name))
                    line = run_cell(cell, images, Path(name, "out"))
            except (DataMissing, PeerMissing) as missing:
                print(f"skipped: {missing}", flush=True)
                continue
            except (subprocess.CalledProcessError, OSError, AssertionError) as error:
                print(f"failed: {error}", file=sys.stderr, flush=True)
                failed.append(cell)
                continue
            append_line(results, line)
            spent = f"{line['seconds']:g} s of {60 * cell.minutes:g} s"
            print(f"accuracy {line['accuracy']:.2%}, {spent}, epochs {line['epochs']}, {line['note']}", flush=True)
    print(f"\n{table(read_lines(results), labels)}")
    if failed:
        raise typer.Exit(1)


def warn_if_busy() -> None:
    """Print a warning if other processes use this machine, because they take training time from all methods."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores / 2:
        print(
            f"warning: this machine has {cores} cores and a load of {load:.1f}. The budget is wall-clock time, so "
            "other processes lower the accuracies. Run the comparison on a machine without other work.",
            file=sys.stderr,
            flush=True,
        )


def require_known(option: str, value: str, known: Collection[str]) -> None:
    """End the command if a value is given that does not exist."""
    if value and value not in known:
        print(f"{option}: got {value!r}; known: {', '.join(known)}", file=sys.stderr)
        raise typer.Exit(2)


if __name__ == "__main__":
    typer.run(main)
