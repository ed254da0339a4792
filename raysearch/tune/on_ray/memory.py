"""A training that is out of memory goes on once, from its checkpoint: half the batch, twice the accumulation."""

import gc
import sys
from collections.abc import Callable
from typing import Any

from raysearch.io import read_yaml, write_text, write_yaml
from raysearch.paths import TrialPaths
from raysearch.train.result import read_metrics
from raysearch.tune.on_ray.failures import is_out_of_memory

SMALLEST = 2
"""Images of a batch that batch normalisation needs."""


def within_memory(paths: TrialPaths, train: Callable[[], None]) -> None:
    """``train()``; out of memory, once more after `halve_batches`. ``train`` reads its config anew and resumes."""
    try:
        return train()
    except Exception as error:
        if not (is_out_of_memory(error) and halve_batches(paths, error)):
            raise
    # Outside of the handler: the error holds on to the frames, and with them to all the memory.
    gc.collect()
    if torch := sys.modules.get("torch"):
        torch.cuda.empty_cache()
    train()


def halve_batches(paths: TrialPaths, error: BaseException) -> bool:
    """Write the config anew with batches of half the size and twice as many a step; False where that is no way out.

    It is not when it was done before, or a batch would become smaller than `SMALLEST`. `smaller_batches.txt` says why.
    """
    config = read_yaml(paths.config)
    trial = config["trial"]
    stages = [stage for stage in trial["stages"] if "batch_size" in stage]
    if paths.smaller_batches.is_file() or min(_sizes([trial, *stages])) // 2 < SMALLEST:
        return False
    before = _sizes([trial, *stages])
    for section in (trial, *stages):
        section["batch_size"] //= 2
    trial["accumulation"] *= 2
    lines = read_metrics(paths)
    epoch = lines[-1]["epoch"] + 1 if lines else 1
    sizes = " and ".join(f"{a} -> {b}" for a, b in dict(zip(before, _sizes([trial, *stages]), strict=True)).items())
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    text = (
        f"out of memory in epoch {epoch}: since then trial.batch_size {sizes}, trial.accumulation "
        f"{trial['accumulation'] // 2} -> {trial['accumulation']} ({reason})"
    )
    # The note first: a kill between the two leaves the batches as they were, and no third try.
    write_text(paths.smaller_batches, text)
    write_yaml(paths.config, config)
    return True


def _sizes(sections: list[dict[str, Any]]) -> list[int]:
    return [section["batch_size"] for section in sections]
