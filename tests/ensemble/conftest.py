from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from raysearch.io import write_json, write_yaml
from raysearch.paths import StudyPaths
from raysearch.predictions import Predictions, write_predictions

FINGERPRINT = "ab" * 32
CLASSES = ("cat", "dog", "emu")
SAMPLES = 60

WriteView = Callable[..., Path]


@pytest.fixture
def study(tmp_path: Path) -> StudyPaths:
    """A study folder without trials, at a path that needs care."""
    paths = StudyPaths(tmp_path / "it's a [study]")
    data = {"fingerprint": FINGERPRINT, "classes": list(CLASSES)}
    space = {"data": {"source": "digits"}}
    write_yaml(paths.study, {"study": "small", "space": space, "data": data, "created": "2026-01-01T00:00:00+00:00"})
    return paths


@pytest.fixture
def write_view(study: StudyPaths) -> WriteView:
    """Writes one view of one trial, whose accuracy is that of ``strength``; any field can be overridden."""

    def write(
        number: int,
        view: str = "student-final",
        *,
        state: str | None = "COMPLETE",
        strength: float = 1.0,
        **overrides: object,
    ) -> Path:
        rng = np.random.default_rng(number)
        labels = np.arange(SAMPLES, dtype=np.int32) % len(CLASSES)
        logits = rng.normal(size=(SAMPLES, len(CLASSES))) + strength * np.eye(len(CLASSES))[labels]
        probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        fields: dict[str, object] = {
            "sample_ids": tuple(f"{i:03d}" for i in range(SAMPLES)),
            "labels": labels,
            "probs": probs.astype(np.float32),
            "classes": CLASSES,
            "split": "held_out",
            "fingerprint": FINGERPRINT,
            "trial_number": number,
            "view": view,
            "weights_sha256": f"{number:064d}",
        }
        path = study.trial(number).predictions(view)
        write_predictions(path, Predictions(**{**fields, **overrides}))
        if state:
            write_json(study.trial(number).result, {"trial_number": number, "state": state})
        return path

    return write
