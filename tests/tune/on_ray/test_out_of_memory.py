"""Out of memory: recognised, tried once more with smaller batches, and said."""

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import ray.exceptions
import torch

from raysearch.config import TrainingConfig
from raysearch.io import read_json, read_yaml, write_yaml
from raysearch.paths import TrialPaths
from raysearch.tune.on_ray.memory import halve_batches, is_out_of_memory, retry_with_smaller_batches


def written(folder: Path, **trial: Any) -> TrialPaths:
    paths = TrialPaths(folder)
    write_yaml(paths.config, TrainingConfig.model_validate({"trial": trial}).model_dump())
    return paths


def real_error() -> Exception:
    """What torch raises where main memory does not do."""
    try:
        torch.empty(2**50, dtype=torch.uint8)
    except RuntimeError as error:
        return error
    raise AssertionError("a petabyte was given")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (real_error(), True),
        (MemoryError(), True),
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (ray.exceptions.OutOfMemoryError("the node was low on memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("memory"), False),
    ],
)
def test_every_library_s_word_for_it_is_known(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_batches_are_halved_in_every_stage_and_steps_stay_as_large(tmp_path: Path) -> None:
    stages = [{"epochs": 2}, {"epochs": 1, "batch_size": 16}]
    paths = written(tmp_path, epochs=None, stages=stages, batch_size=40, accumulation=3)
    assert halve_batches(paths, MemoryError("no room"))
    trial = TrainingConfig.model_validate(read_yaml(paths.config)).trial
    assert [(stage.batch_size, stage.accumulation) for stage in trial.schedule] == [(20, 6), (8, 6)]
    note = paths.smaller_batches.read_text()
    sizes = "trial.batch_size 40 -> 20 and 16 -> 8, trial.accumulation 3 -> 6"
    assert note == f"out of memory in epoch 1: continued with {sizes} (no room)"


def test_it_is_done_once(tmp_path: Path) -> None:
    paths = written(tmp_path, batch_size=40)
    assert halve_batches(paths, MemoryError())
    assert not halve_batches(paths, MemoryError())
    assert read_yaml(paths.config)["trial"]["batch_size"] == 20


def test_batches_of_three_are_not_halved(tmp_path: Path) -> None:
    paths = written(tmp_path, batch_size=3)
    assert not halve_batches(paths, MemoryError())
    assert not paths.smaller_batches.exists()


def test_a_second_time_it_is_raised(tmp_path: Path) -> None:
    paths = written(tmp_path, batch_size=40)
    tried = []

    def train() -> None:
        tried.append(read_yaml(paths.config)["trial"]["batch_size"])
        raise MemoryError

    with pytest.raises(MemoryError):
        retry_with_smaller_batches(paths, train)
    assert tried == [40, 20]


def test_other_errors_are_not_tried_again(tmp_path: Path) -> None:
    paths = written(tmp_path, batch_size=40)

    def train() -> None:
        raise ValueError("of another kind")

    with pytest.raises(ValueError, match="of another kind"):
        retry_with_smaller_batches(paths, train)
    assert not paths.smaller_batches.exists()


@pytest.mark.slow
def test_a_training_that_the_memory_does_not_do_for_ends_whole_with_smaller_batches(tmp_path: Path) -> None:
    """A real limit of this process's memory, between what a batch and half a batch take."""
    script = textwrap.dedent(
        """
        import resource, sys
        from pathlib import Path

        import torch

        from raysearch.config import TrainingConfig
        from raysearch.io import read_yaml, write_yaml
        from raysearch.paths import TrialPaths
        from raysearch.train.training_job import TrainingJob, run_training_job
        from raysearch.tune.on_ray.memory import retry_with_smaller_batches


        class Silent:
            def report(self, metrics): ...

            def should_stop(self):
                return False


        def train(folder, batch_size):
            trial = dict(
                backbone="wrn_10_1", image_size=128, epochs=1, batch_size=batch_size, precision="float32",
                augment=dict(policy="none"), optimizer=dict(name="sgd"),
                method=dict(views=1, alpha=0, beta=0, gamma=0, aux_weight=0),
            )
            data = dict(source="digits", train_per_class=8, held_out_per_class=1)
            paths = TrialPaths(Path(folder) / str(batch_size))
            config = TrainingConfig.model_validate(dict(data=data, trial=trial))
            write_yaml(paths.config, config.model_dump())
            hosted = TrainingJob(paths.root, 0, Path(folder) / "stop", 1)
            run = lambda: run_training_job(TrainingConfig.model_validate(read_yaml(paths.config)), hosted, Silent())
            retry_with_smaller_batches(paths, run)


        def in_use():
            lines = Path("/proc/self/status").read_text().splitlines()
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmSize"))


        train(sys.argv[1], 40)  # what half the batch takes, the process keeps
        limit = in_use() + 250 * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        train(sys.argv[1], 80)
        """
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    paths = TrialPaths(tmp_path / "80")
    assert "out of memory in epoch 1: continued with trial.batch_size 80 -> 40" in paths.smaller_batches.read_text()
    assert read_json(paths.info)["device"] == "cpu"
    assert len(paths.metrics.read_text().splitlines()) == 1
