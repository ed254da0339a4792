"""raysearch: ``raysearch fit``, then ``raysearch evaluate`` on the test images."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.accuracy.side import Task, Trained, read_task, write_result


def main() -> None:
    """Run the task in the file named on the command line."""
    task = read_task()
    fit, evaluate = commands(task)
    subprocess.run(fit, check=True)
    trained = Trained.now(task, None)
    subprocess.run(evaluate, check=True)
    figures = json.loads(figures_file(task).read_text())
    write_result(task, trained, ["torch", "ray"], accuracy=figures["accuracy"])


def commands(task: Task) -> tuple[list[str], list[str]]:
    """The two commands: one writes the checkpoint set, the other scores it."""
    out = Path(task.out, "fit")
    raysearch = [sys.executable, "-m", "raysearch"]
    fit = [*raysearch, "fit", task.data, "--minutes", f"{task.budget_s / 60:g}", "--out", str(out)]
    evaluate = [*raysearch, "evaluate", str(out / "set"), "--data", task.data, "--split", "test"]
    return fit, [*evaluate, "--out", str(figures_file(task))]


def figures_file(task: Task) -> Path:
    """Where ``raysearch evaluate`` writes its figures."""
    return Path(task.out, "figures.json")


if __name__ == "__main__":
    main()
