import pytest
import typer

from raysearch.config import TrainingConfig
from raysearch.errors import SpaceError, StudyError
from raysearch.io import read_yaml, write_yaml
from raysearch.paths import TrialPaths
from raysearch.train.__main__ import command
from raysearch.train.result import read_result


@pytest.fixture
def space(tmp_path, config):
    """A config file for the command, with one epoch."""
    path = tmp_path / "it's a config.yaml"
    write_yaml(path, config(epochs=1, optimizer={"warmup_epochs": 0}).model_dump())
    return path


def test_it_trains_into_the_folder_and_says_where(space, tmp_path, capsys):
    out = tmp_path / "new" / "training"
    command(space, out=out, threads=1, set_=["trial.seed=5"])
    result = read_result(TrialPaths(out))
    assert (result["state"], result["epochs_done"], result["params"]) == ("COMPLETE", 1, {})
    assert TrainingConfig.model_validate(read_yaml(out / "config.yaml")).trial.seed == 5
    assert not (out / "checkpoints" / "resume.pt").exists()
    printed = capsys.readouterr().out
    assert "epoch 1/1" in printed
    assert f"held-out accuracy {result['value']:.4f}; written to {out}" in printed

    with pytest.raises(StudyError, match="already holds a finished training; use another --out"):
        command(space, out=out, threads=1)


def test_a_folder_with_a_training_of_another_config_is_refused(space, tmp_path, config):
    out = tmp_path / "training"
    write_yaml(out / "config.yaml", config(seed=8).model_dump())
    with pytest.raises(StudyError, match="holds a training with another config; use another --out"):
        command(space, out=out, threads=1)


def test_a_folder_of_other_files_is_refused_and_left_alone(space, tmp_path):
    out = tmp_path / "photos"
    out.mkdir()
    (out / "mine.jpg").write_bytes(b"")
    with pytest.raises(StudyError, match="neither an empty folder nor a training; use another --out"):
        command(space, out=out, threads=1)
    assert [path.name for path in out.iterdir()] == ["mine.jpg"]


def test_a_diverging_training_fails_with_its_reason(space, tmp_path, capsys):
    out = tmp_path / "training"
    with pytest.raises(typer.Exit) as end:
        command(space, out=out, threads=1, set_=["trial.optimizer.lr=1e30", "trial.epochs=3"])
    assert end.value.exit_code == 1
    result = read_result(TrialPaths(out))
    assert result["state"] == "FAIL"
    assert "not finite in epoch" in result["reason"]
    assert result["reason"] in capsys.readouterr().err


def test_a_mistake_on_the_command_line_is_refused_before_anything_is_written(space, tmp_path):
    with pytest.raises(SpaceError, match=r"--set: trial.epoch: unknown key; did you mean 'trial.epochs'\?"):
        command(space, out=tmp_path / "out", set_=["trial.epoch=3"])
    assert not (tmp_path / "out").exists()
