"""Builds a table from a study: cross-fitted and test accuracy of each recipe's ensemble, with commit and date.

    python -m benchmarks.road runs/photos32 --data FOLDER

Every ensemble is exported, verified and scored on the test split. The best single model, chosen on the held-out split,
is treated in the same way, so all rows come from one search. The last line of stdout has the same figures as JSON.
"""

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.harness import processor
from raysearch.io import read_json
from raysearch.paths import StudyPaths

HERE = Path(__file__).parent
ENSEMBLES = HERE.parent / "ensembles"
RECIPES = {
    "single": HERE / "single.yaml",
    "uniform": ENSEMBLES / "uniform.yaml",
    "greedy": ENSEMBLES / "greedy.yaml",
    "bagged": ENSEMBLES / "bagged.yaml",
}


def verb(name: str, *words: object) -> str:
    """Run ``python -m raysearch.<name>``, print its stdout and return it."""
    command = [sys.executable, "-m", f"raysearch.{name}", *map(str, words)]
    print("$", *command[1:], flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    print(done.stdout, flush=True)
    return done.stdout


def score_recipe(study: StudyPaths, recipe: str, source: str) -> dict[str, Any]:
    """Select with ``recipe``, export, and score on the test split of ``source``."""
    verb("ensemble", study.root, "--recipe", RECIPES[recipe])
    folder = study.root / "sets" / recipe
    shutil.rmtree(folder, ignore_errors=True)
    verb("export", study.root, "--ensemble", recipe, "--out", folder)
    figures = json.loads(verb("evaluate", folder, "--data", source, "--split", "test").splitlines()[-1])
    stored = read_json(study.ensemble(recipe))
    test = {"accuracy": figures["accuracy"], "low": figures["accuracy_low"], "high": figures["accuracy_high"]}
    return {
        "members": len(stored["members"]),
        "cross_fitted": stored["cross_fitted"],
        "in_sample": stored["in_sample"],
        "test": test,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--data", required=True)
    arguments = parser.parse_args()
    study = StudyPaths(arguments.study).require()
    rows = {recipe: score_recipe(study, recipe, arguments.data) for recipe in RECIPES}
    verb("report", study.root)
    results = [read_json(trial.result) for _, trial in study.trials() if trial.result.is_file()]
    states = [result["state"] for result in results]
    commit = subprocess.run(["git", "-C", HERE, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    facts = {
        "commit": commit.stdout.strip(),
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {processor()}",
        "trials": {state: states.count(state) for state in sorted(set(states))},
        "hours_of_training": round(sum(result["seconds"] for result in results) / 3600, 2),
    }
    print(table(rows))
    print(json.dumps({**facts, "rows": rows}))


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The rows as a Markdown table: accuracies in percent with 95 % intervals."""
    columns = ("", "members", "held-out, cross-fitted", "held-out, in-sample", "test")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for name, row in rows.items():
        honest, test = row["cross_fitted"], row["test"]
        cells = [
            name,
            str(row["members"]),
            f"{_percent(honest)} ({_interval(honest)})",
            _percent(row["in_sample"]),
            f"{_percent(test)} ({_interval(test)})",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _percent(figures: Mapping[str, float]) -> str:
    return f"{100 * figures['accuracy']:.1f}"


def _interval(figures: Mapping[str, float]) -> str:
    return f"{100 * figures['low']:.1f}-{100 * figures['high']:.1f}"


if __name__ == "__main__":
    main()
