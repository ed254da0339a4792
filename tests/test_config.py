import pickle

import pytest
from pydantic import ValidationError

from raysearch.config import DataConfig, MethodConfig, TrainingConfig, TrialConfig
from raysearch.errors import SpaceError, UserError, did_you_mean
from raysearch.io import display_path, read_yaml, write_yaml
from raysearch.section import validate


def faults(values, section=TrainingConfig, prefix=""):
    with pytest.raises(SpaceError) as raised:
        validate(section, values, "a.yaml", prefix)
    return raised.value.faults


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"trial": {"ema_decy": 1}}, "a.yaml: trial.ema_decy: unknown key; known: accumulation, augment"),
        ({"trial": {"method": {"ema_decy": 0.9}}}, "a.yaml: trial.method.ema_decy: unknown key; did you mean 'ema_de"),
        ({"trail": {}}, "a.yaml: trail: unknown key; did you mean 'trial'?"),
        ({"trial": {"precision": "float16"}}, "a.yaml: trial.precision: got 'float16'; did you mean 'bfloat16'?"),
        ({"trial": {"method": {"views": 3}}}, "a.yaml: trial.method.views: got 3; known: 1, 2"),
        ({"trial": {"epochs": "30"}}, "a.yaml: trial.epochs: input should be a valid integer, got '30'"),
        ({"trial": {"epochs": 0}}, "a.yaml: trial.epochs: input should be greater than or equal to 1, got 0"),
        ({"trial": {"epochs": True}}, "a.yaml: trial.epochs: input should be a valid integer, got True"),
        ({"trial": {"dropout": 1.0}}, "a.yaml: trial.dropout: input should be less than 1, got 1.0"),
        ({"trial": {"dropout": float("nan")}}, "a.yaml: trial.dropout: input should be"),
        ({"trial": {"optimizer": {"lr": float("inf")}}}, "a.yaml: trial.optimizer.lr: input should be a finite numb"),
        ({"trial": {"augment": 3}}, "a.yaml: trial.augment: expected a mapping, got 3"),
        ({"data": {"train_per_class": 2.5}}, "a.yaml: data.train_per_class: input should be a valid integer, got 2.5"),
        ([], "a.yaml: top level: expected a mapping, got []"),
        (None, "a.yaml: top level: expected a mapping, got None"),
    ],
)
def test_a_fault_names_file_path_value_and_remedy(values, fault):
    (found,) = faults(values)
    assert found.startswith(fault)


def test_all_faults_are_reported_together():
    found = faults({"trial": {"epochs": 0, "method": {"tau": 0.0, "x": 1}}, "data": {"seed": "a"}})
    assert {line.split(": ")[1] for line in found} == {
        "trial.epochs",
        "trial.method.tau",
        "trial.method.x",
        "data.seed",
    }


def test_a_prefix_stands_before_every_path():
    assert faults({"epoch": 1}, TrialConfig, "trial")[0] == "a.yaml: trial.epoch: unknown key; did you mean 'epochs'?"


def test_whole_numbers_may_stand_for_floats():
    assert TrialConfig.model_validate({"dropout": 0, "method": {"gamma": 1}}).method.gamma == 1.0


def test_values_cannot_change():
    config = TrialConfig()
    with pytest.raises(ValidationError, match="frozen"):
        config.epochs = 3
    with pytest.raises(ValidationError, match="frozen"):
        config.method.alpha = 3.0


@pytest.mark.parametrize(
    "config",
    [
        TrainingConfig(),
        TrainingConfig(
            data=DataConfig(source="o'clock #1: pictures", train_per_class=3, seed=1),
            objective="log_loss",
            trial=TrialConfig(backbone="1e5", drop_path_rate=1e-7, seed=2**31, method=MethodConfig(alpha=1e-3)),
        ),
    ],
)
def test_a_training_config_survives_a_round_trip_through_yaml(config, tmp_path):
    write_yaml(tmp_path / "config.yaml", config.model_dump())
    assert validate(TrainingConfig, read_yaml(tmp_path / "config.yaml"), "config.yaml") == config


def test_the_defaults_are_those_of_the_method():
    method = MethodConfig()
    assert (method.alpha, method.log_floor, method.beta, method.gamma) == (0.01, -4.0, 0.5, 1.0)
    assert (method.delta, method.tau, method.ema_decay) == (0.005, 0.1, 0.999)
    assert (method.aux_weight, method.aux_fusion, method.direction) == (0.4, 0.3, "student_teacher")


def is_section(field):
    return isinstance(field.annotation, type) and hasattr(field.annotation, "model_fields")


def sections(section=TrainingConfig):
    for field in section.model_fields.values():
        if is_section(field):
            yield from sections(field.annotation)
    yield section


@pytest.mark.parametrize("section", list(sections()), ids=lambda section: section.__name__)
def test_every_knob_is_described(section):
    assert section.__doc__, "a section's own line describes the field that holds it"
    assert [n for n, f in section.model_fields.items() if not f.description and not is_section(f)] == []


def test_a_user_error_keeps_its_faults_across_processes():
    error = pickle.loads(pickle.dumps(SpaceError(["one", "two"])))
    assert isinstance(error, UserError)
    assert (type(error), error.faults, str(error)) == (SpaceError, ["one", "two"], "one\ntwo")


def test_a_similar_name_is_suggested_otherwise_the_known_names_are_listed():
    assert did_you_mean("trian", ["train", "test"]) == "; did you mean 'train'?"
    assert did_you_mean("zzz", ["train", "test"]) == "; known: test, train"


def test_paths_inside_the_working_folder_are_shown_relative_to_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert display_path(tmp_path / "a" / "b.yaml") == "a/b.yaml"
    assert display_path(tmp_path.parent / "b.yaml") == str(tmp_path.parent / "b.yaml")


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"method": {"beta": 0.5, "views": 1}}, "a.yaml: trial.method: beta > 0 needs views: 2"),
        (
            {"method": {"delta": -0.1}},
            "a.yaml: trial.method.delta: input should be greater than or equal to 0, got -0.1",
        ),
        ({"method": {"ema_decay": 1.0}}, "a.yaml: trial.method.ema_decay: input should be less than 1, got 1.0"),
        ({"batch_size": 1}, "a.yaml: trial.batch_size: input should be greater than or equal to 2, got 1"),
        ({"epochs": 3, "stages": [{"epochs": 3}]}, "a.yaml: trial: epochs must not be set together with stages"),
        ({"stages": [{"image_size": 32}]}, "a.yaml: trial: stages.0.epochs: must be set"),
        ({"stages": [{"epochs": 1, "backbone": "x"}]}, "a.yaml: trial: stages.0.backbone: a stage cannot set this key"),
        (
            {"stages": [{"epochs": 1}, {"epochs": 1, "method": {"aux_stage": 0}}]},
            "a.yaml: trial: stages: method.aux_stage must be the same in every stage, got 0, None",
        ),
    ],
)
def test_values_that_cannot_be_trained_are_refused(values, fault):
    (found,) = faults({"trial": values})
    assert found.startswith(fault)
