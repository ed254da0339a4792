"""Walk the whole road on a labelled source and print a table of what came out, with commit, machine and date.

    python benchmarks/road.py spaces/photos32.yaml --data FOLDER --out runs [--skip-search]

The ensemble and the best single model (chosen on the held-out split) are exported, verified and scored on the test
split alike, so the table's two rows are of one run. The last line of stdout is the same as JSON.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from raysearch.io import read_json
from raysearch.paths import StudyPaths
from raysearch.space import load_space

HERE = Path(__file__).parent
RECIPES = {"greedy": HERE.parent / "ensembles" / "greedy.yaml", "single": HERE / "single.yaml"}


def verb(name: str, *words: object) -> str:
    """Run ``python -m raysearch.<name>`` and return its stdout, which is shown as well."""
    command = [sys.executable, "-m", f"raysearch.{name}", *map(str, words)]
    print("$", *command[1:], flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    print(done.stdout, flush=True)
    return done.stdout


def scored(study: StudyPaths, recipe: str, source: str) -> dict[str, Any]:
    """Select by ``recipe``, export, score on the test split."""
    verb("ensemble", study.root, "--recipe", RECIPES[recipe])
    folder = study.root / "sets" / recipe
    shutil.rmtree(folder, ignore_errors=True)
    verb("export", study.root, "--ensemble", recipe, "--out", folder)
    figures = json.loads(verb("evaluate", folder, "--data", source, "--split", "test").splitlines()[-1])
    stored = read_json(study.ensemble(recipe))
    return {
        "members": len(stored["members"]),
        "held_out_in_sample": stored["in_sample"]["accuracy"],
        "held_out_cross_fitted": stored["cross_fitted"]["accuracy"],
        "test": figures["accuracy"],
        "test_low": figures.get("accuracy_low"),
        "test_high": figures.get("accuracy_high"),
        "n": figures["n"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("space", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--skip-search", action="store_true", help="the study is there already")
    given = parser.parse_args()
    study = StudyPaths(given.out / load_space(given.space).study)
    began = time.monotonic()
    if not given.skip_search:
        verb("tune", given.space, "--data", given.data, "--out", given.out)
    search_s = time.monotonic() - began
    rows = {recipe: scored(study, recipe, given.data) for recipe in RECIPES}
    verb("report", study.root)
    states = [read_json(trial.result)["state"] for _, trial in study.trials() if trial.result.is_file()]
    commit = subprocess.run(["git", "-C", HERE, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    facts = {
        "commit": commit.stdout.strip(),
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}",
        "trials": {state: states.count(state) for state in sorted(set(states))},
        "search_s": None if given.skip_search else round(search_s),
    }
    print(table(rows))
    print(json.dumps({**facts, "rows": rows}))


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The rows as Markdown, accuracies in percent."""
    columns = ("", "members", "held-out, cross-fitted", "held-out, in-sample", "test (95 % interval)")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for name, row in rows.items():
        interval = f" ({100 * row['test_low']:.1f}-{100 * row['test_high']:.1f})" if row["test_low"] else ""
        figures = [f"{100 * row[key]:.1f}" for key in ("held_out_cross_fitted", "held_out_in_sample", "test")]
        lines.append(f"| {name} | {row['members']} | {figures[0]} | {figures[1]} | {figures[2]}{interval} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
