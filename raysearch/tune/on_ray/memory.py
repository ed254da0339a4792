"""Out of memory: continue once from the checkpoint, with half the batch size and twice the accumulation."""

import gc
import sys
from collections.abc import Callable
from typing import Any

from raysearch.io import read_yaml, write_text, write_yaml
from raysearch.paths import TrialPaths
from raysearch.train.result import read_metrics
from raysearch.tune.on_ray.failures import is_out_of_memory

SMALLEST = 2
"""Fewest images in a batch that batch normalization can train on."""


def retry_with_smaller_batches(paths: TrialPaths, train: Callable[[], None]) -> None:
    """Call ``train``. If it runs out of memory, call `halve_batches` and then ``train`` once more.

    ``train`` must read its config from ``paths`` at every call and resume from its checkpoint.
    """
    try:
        return train()
    except Exception as error:
        if not (is_out_of_memory(error) and halve_batches(paths, error)):
            raise
    # Outside of the except block: there the exception still refers to the frames that hold the memory.
    gc.collect()
    if torch := sys.modules.get("torch"):
        torch.cuda.empty_cache()
    train()


def halve_batches(paths: TrialPaths, error: BaseException) -> bool:
    """Rewrite the config with half the batch size and twice the accumulation. Returns whether it did.

    It does not if it did before, or if a batch would have fewer than `SMALLEST` images. The change and its reason are
    written to `smaller_batches.txt`.
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
        f"out of memory in epoch {epoch}: continued with trial.batch_size {sizes}, trial.accumulation "
        f"{trial['accumulation'] // 2} -> {trial['accumulation']} ({reason})"
    )
    # The note first: after a kill between the two, the batches are unchanged and no second halving is tried.
    write_text(paths.smaller_batches, text)
    write_yaml(paths.config, config)
    return True


def _sizes(sections: list[dict[str, Any]]) -> list[int]:
    return [section["batch_size"] for section in sections]
