"""Export of members whose weights the search dropped: the message, and whether its commands work."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_study import checking_in_this_process

from raysearch.errors import SetError
from raysearch.export.members import read_weights
from raysearch.export.selected import read_selected
from raysearch.export.write import export_set
from raysearch.io import read_json, read_yaml, sha256, write_json, write_text, write_yaml
from raysearch.paths import StudyPaths
from raysearch.tune.on_ray.memory import halve_batches


@pytest.fixture
def study(small_study: StudyPaths, tmp_path: Path) -> StudyPaths:
    """A copy of the small study, at a path that needs quoting."""
    return StudyPaths(shutil.copytree(small_study.root, tmp_path / "it's a [study]"))


def drop(study: StudyPaths, number: int, *roles: str, **changes: object) -> None:
    """As `search.checkpoints_gb` does."""
    trial = study.trial(number)
    write_json(trial.result, {**read_json(trial.result), "dropped": list(roles), **changes})
    for role in roles:
        trial.weights(role).unlink()


def faults(study: StudyPaths, source: str | None = None) -> list[str]:
    with pytest.raises(SetError) as caught:
        read_weights(read_selected(study, "mixed", source))
    return caught.value.faults


def commands(fault: str) -> list[str]:
    return re.findall("`(.*?)`", fault)


def test_each_trial_has_a_line_with_the_files_the_members_and_both_commands(study: StudyPaths) -> None:
    drop(study, 0, "teacher", "student")
    drop(study, 1, "student")
    first, second = faults(study)
    assert "0000/checkpoints/teacher.safetensors: dropped to keep within search.checkpoints_gb" in first
    assert "0000-teacher-fused, 0000-teacher-final" in first
    assert "student.safetensors" not in first, "no member needs it"
    assert "0001/checkpoints/student.safetensors: dropped to keep within search.checkpoints_gb" in second
    train, copy = commands(second)
    assert re.fullmatch(r"python -m raysearch\.train '.*0001/config\.yaml' --out '.*-again/0001' --threads 1", train)
    assert re.fullmatch(r"cp '.*-again/0001/checkpoints/student\.safetensors' '.*0001/checkpoints'/", copy)
    assert "Ctrl-C" not in second


def test_weights_that_are_missing_otherwise_are_said_to_be_missing(study: StudyPaths) -> None:
    drop(study, 0, "student")
    study.trial(0).weights("teacher").unlink()
    assert all("no such file" in fault for fault in faults(study))


def test_weights_that_were_brought_back_are_taken(study: StudyPaths) -> None:
    content = study.trial(1).weights("student").read_bytes()
    drop(study, 1, "student")
    study.trial(1).weights("student").write_bytes(content)
    assert "0001-student" in read_weights(read_selected(study, "mixed"))


def test_the_command_has_the_threads_and_processes_of_the_search_and_finds_data_that_moved(study: StudyPaths) -> None:
    drop(study, 1, "student")
    content = read_yaml(study.study)
    content["space"]["resources"] = {"workers": 2, "cpus_per_worker": 3}
    write_yaml(study.study, content)
    (fault,) = faults(study, source="/new place")
    train = commands(fault)[0]
    assert train.startswith("torchrun --nproc-per-node 2 -m raysearch.train ")
    assert train.endswith(" --threads 3 --data '/new place'")


def test_a_trial_that_was_stopped_early_is_to_be_stopped_again(study: StudyPaths) -> None:
    drop(study, 1, "student", state="PRUNED")
    (fault,) = faults(study)
    assert "stop it with Ctrl-C right after it prints epoch 1 (" in fault
    assert commands(fault)[1].startswith("cp ")


def test_weights_of_an_unfinished_epoch_are_to_be_left_out(study: StudyPaths) -> None:
    line = study.trial(1).metrics.read_text().replace('"epoch": 1', '"epoch": 1, "partial": true')
    write_text(study.trial(1).metrics, line)
    drop(study, 1, "student", state="PRUNED")
    (fault,) = faults(study)
    assert "the search stopped it during epoch 1, so a new training cannot reproduce them" in fault
    (remove,) = commands(fault)
    subprocess.run(remove, shell=True, check=True)
    left = {path.name for path in study.trial(1).predictions("student-final").parent.iterdir()}
    assert left == {"teacher-final.arrow"}


@pytest.mark.parametrize(("epochs_done", "can_repeat"), [(1, False), (0, True)])
def test_batches_halved_in_mid_training_cannot_be_repeated(
    study: StudyPaths, epochs_done: int, can_repeat: bool
) -> None:
    if not epochs_done:
        study.trial(1).metrics.unlink()
    assert halve_batches(study.trial(1), MemoryError("no room"))
    drop(study, 1, "student")
    (fault,) = faults(study)
    assert ("raysearch.train" in fault) == can_repeat
    assert ("halved during training" in fault) != can_repeat


@pytest.mark.slow
def test_the_commands_bring_the_weights_back_and_the_set_is_exported(study: StudyPaths, tmp_path: Path) -> None:
    before = sha256(study.trial(1).weights("student"))
    drop(study, 1, "student")
    (fault,) = faults(study)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command in commands(fault):
        done = subprocess.run(command, shell=True, env={**os.environ, "PATH": path}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert sha256(study.trial(1).weights("student")) == before
    with checking_in_this_process():
        export_set(study, "mixed", tmp_path / "set")
    assert (tmp_path / "set" / "ensemble.json").is_file()
