"""Writes a made-up study folder of ten trials in the formats of searches and ensembles."""

import json
import math
import random
from pathlib import Path
from typing import Any

from raysearch.io import write_json, write_text, write_yaml
from raysearch.paths import StudyPaths

BACKBONES = ("wrn_16_2", "resnet10t", "mobilenetv3_small_050")
EPOCHS = 30
CROSS_FITTED = {
    "accuracy": 0.931,
    "log_loss": 0.268,
    "folds": 5,
    "repeats": 4,
    "low": 0.887,
    "high": 0.958,
    "confidence": 0.95,
}
ENDINGS = {3: "FAIL", 5: "PRUNED", 8: "PRUNED", 9: "RUNNING"}
FAILURE = "training loss is nan in epoch 7; a lower trial.optimizer.lr or trial.method.alpha would help"


def study_facts(**changes: Any) -> dict[str, Any]:
    return {
        "study": "cr",
        "space": {
            "study": "cr",
            "data": {"source": "digits", "train_per_class": 20, "held_out_per_class": 20, "seed": 0},
            "search": {"trials": 10, "objective": "accuracy"},
            "trial": {
                "backbone": {
                    "choice": {name: {"optimizer": {"lr": {"loguniform": [5e-4, 5e-2]}}} for name in BACKBONES}
                },
                "method": {"alpha": {"loguniform": [1e-4, 0.1]}, "beta": {"uniform": [0, 1]}},
            },
        },
        "versions": {"python": "3.11.2", "raysearch": "0.1.0", "ray": "2.60.0", "torch": "2.9.1", "optuna": "4.6.0"},
        "commit": "21dd3d3aa0b14c3f5e6d7a8b9c0d1e2f3a4b5c6d",
        "data": {
            "fingerprint": "9f3a61c07be2" + "0" * 52,
            "classes": [str(digit) for digit in range(10)],
            "counts": {"train": 200, "held_out": 200, "test": 1397},
        },
        "created": "2026-03-04T09:12:30+00:00",
    } | changes


def write_bare_study(root: Path, **changes: Any) -> StudyPaths:
    """A study whose search has just started: no trials, no ensembles."""
    paths = StudyPaths(root)
    write_yaml(paths.study, study_facts(**changes))
    return paths


def write_gain_study(root: Path) -> StudyPaths:
    """Three trials of a search for ensemble gain; the first one is compared with a guess."""
    facts = study_facts()
    facts["space"]["search"]["objective"] = "ensemble_gain"
    paths = write_bare_study(root, space=facts["space"])
    for number, (value, gain) in enumerate([(0.9, 0.25), (0.4, -0.0004), (0.7, 1.5)]):
        write_trial(paths, number, objective="log_loss", value=value, ensemble_gain=gain)
    return paths


def write_trial(paths: StudyPaths, number: int, state: str = "COMPLETE", **changes: Any) -> None:
    """A trial's small files; its curve rises to its own level."""
    rng = random.Random(number)
    backbone = BACKBONES[number % 3]
    params = {
        "backbone": backbone,
        "method.alpha": 10 ** rng.uniform(-4, -1),
        "method.beta": rng.uniform(0, 1),
        "method.gamma": rng.uniform(0, 3),
        "method.tau": rng.uniform(0.05, 0.5),
        "method.ema_decay": rng.choice([0.99, 0.995, 0.999]),
        "augment.policy": rng.choice(["none", "trivialaugment", "randaugment"]),
        f"optimizer.lr[{backbone}]": 10 ** rng.uniform(-3.3, -1.3),
    }
    level = 0.93 - 0.02 * (number % 3) - 0.05 * rng.random()
    done = {"COMPLETE": EPOCHS, "PRUNED": 9, "FAIL": 7, "RUNNING": 14}[state]
    curve = [_epoch(rng, epoch, level) for epoch in range(1, done + 1)]
    if state == "FAIL":
        curve[-1] = {**curve[-1], "train": {"loss": math.nan}}
    trial = paths.trial(number)
    write_text(trial.metrics, "".join(json.dumps(line) + "\n" for line in curve))
    write_yaml(trial.config, {"data": {"source": "digits"}, "trial": {"backbone": backbone, "epochs": EPOCHS}})
    if state == "RUNNING":
        return
    evaluations = [line["held_out"] for line in curve if "held_out" in line]
    value = max(scores["teacher-final"]["accuracy"] for scores in evaluations)
    result = {
        "trial_number": number,
        "state": state,
        "reason": FAILURE if state == "FAIL" else None,
        "objective": "accuracy",
        "value": None if state == "FAIL" else value,
        "role": None if state == "FAIL" else "teacher",
        "epochs_done": done,
        "epochs": EPOCHS,
        "seconds": curve[-1]["seconds"],
        "backbone": backbone,
        "num_parameters": 692_826,
        "precision": "float32",
        "params": params,
        "views": {} if state == "FAIL" else {v: s | {"epoch": done} for v, s in evaluations[-1].items()},
    }
    write_json(trial.result, result | changes)


def write_ensemble(paths: StudyPaths, name: str = "greedy", **changes: Any) -> None:
    members = [
        (6, "teacher-final", 0.4),
        (0, "teacher-final", 0.25),
        (1, "student-final", 0.2),
        (7, "teacher-final", 0.1),
    ]
    members.append((5, "student-final", 0.05))
    grown = [0.915, 0.925, 0.935, 0.935, 0.94, 0.94, 0.945, 0.945, 0.945, 0.94, 0.94, 0.935]
    value = {
        "name": name,
        "recipe": {"method": "greedy", "rounds": 12, "folds": 5, "repeats": 4},
        "split": "held_out",
        "fingerprint": study_facts()["data"]["fingerprint"],
        "classes": study_facts()["data"]["classes"],
        "n": 200,
        "candidates": 16,
        "members": [_member(t, v, w) for t, v, w in members],
        "trajectory": [
            {"round": at, "added": f"{t:04d}-{v}", "accuracy": accuracy, "log_loss": 0.31 - 0.06 * (1 - 0.6**at)}
            for at, accuracy in enumerate(grown, start=1)
            for t, v, _ in [members[at % 5]]
        ],
        "best_round": 7,
        "in_sample": {"accuracy": 0.945, "log_loss": 0.251},
        "cross_fitted": CROSS_FITTED,
        "best_single": {
            "name": "0006-teacher-final",
            "in_sample": {"accuracy": 0.915, "log_loss": 0.302},
            "cross_fitted": {"accuracy": 0.904, "log_loss": 0.317},
        },
        "uniform": {
            "members": 16,
            "in_sample": {"accuracy": 0.921, "log_loss": 0.291},
            "cross_fitted": {"accuracy": 0.919, "log_loss": 0.293},
            "gain": {"accuracy": 0.015, "low": 0.002, "high": 0.028, "confidence": 0.95},
            "over_ensemble": {"accuracy": -0.012, "low": -0.03, "high": 0.006, "confidence": 0.95},
        },
        "gain": {"accuracy": 0.027, "low": 0.004, "high": 0.051, "confidence": 0.95},
        "disagreement": {"mean": 0.123, "matrix": [[float(a != b) for a in range(5)] for b in range(5)]},
        "calibration": {
            "temperature": 1.27,
            "bins": 15,
            "ece": 0.071,
            "ece_scaled": 0.022,
            "log_loss": 0.268,
            "log_loss_scaled": 0.259,
        },
        "recommended": "ensemble",
        "notes": ["trial 9 has not finished and is left out"],
    }
    write_json(paths.ensemble(name), value | changes)


def without_later_figures(path: Path) -> None:
    """Remove the keys that the first version of the ensemble file did not have."""
    value = json.loads(path.read_text())
    for key in ("uniform", "disagreement", "calibration", "recommended", "notes"):
        del value[key]
    for key in ("low", "high", "confidence"):
        value["cross_fitted"].pop(key, None)
    for member in value["members"]:
        del member["backbone"], member["contribution"], member["alone"]
    write_json(path, value)


def _member(trial: int, view: str, weight: float) -> dict[str, Any]:
    contribution = {"accuracy": round(0.04 * weight, 4), "log_loss": -0.1 * weight, "chosen": 0.85}
    return {
        "trial": trial,
        "view": view,
        "weight": weight,
        "weights_sha256": "ab" * 32,
        "alone": {"accuracy": 0.915 if trial == 6 else 0.89, "log_loss": 0.3},
        "backbone": BACKBONES[trial % 3],
        "contribution": contribution,
    }


def write_fake_study(root: Path) -> StudyPaths:
    """Ten trials of three backbones (one failed, two pruned, one still running) and two ensembles."""
    paths = write_bare_study(root)
    for number in range(10):
        write_trial(paths, number, ENDINGS.get(number, "COMPLETE"))
    write_ensemble(paths)
    gain = {"accuracy": 0.009, "low": -0.012, "high": 0.029, "confidence": 0.95}
    cross_fitted = CROSS_FITTED | {"accuracy": 0.913, "log_loss": 0.281, "low": 0.866, "high": 0.945}
    uniform = {"method": "uniform"}
    write_ensemble(
        paths, "uniform", recipe=uniform, trajectory=[], best_round=None, gain=gain, cross_fitted=cross_fitted
    )
    return paths


def _epoch(rng: random.Random, epoch: int, level: float) -> dict[str, Any]:
    grown = 1 - math.exp(-epoch / 6)
    loss = 2.6 - 1.7 * grown + rng.gauss(0, 0.03)
    line: dict[str, Any] = {
        "epoch": epoch,
        "seconds": 4.1 * epoch,
        "lr": 0.01,
        "train": {"loss": loss, "ce": loss - 0.2},
    }
    if epoch % 3 == 0 or epoch < 3:
        scores = {}
        for view, less in (("student-final", 0.02), ("teacher-final", 0.0)):
            accuracy = round(200 * (0.1 + (level - less - 0.1) * grown + rng.gauss(0, 0.01))) / 200
            scores[view] = {"accuracy": accuracy, "log_loss": 2.3 - 2.0 * grown}
        line["held_out"] = scores
    return line
