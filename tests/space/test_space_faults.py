"""The messages for faults in a space file: all of them, once each, with file, path, value and nearest name."""

from pathlib import Path
from textwrap import dedent

import pytest

from raysearch.errors import SpaceError
from raysearch.space import load_space, space_from


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def faults(trial="", rest="study: s", overrides=()):
    """The faults of `a.yaml` with ``trial``'s lines (YAML) below `trial:`."""
    text = f"{dedent(rest)}\n" + (f"trial: {trial}\n" if trial else "")
    Path("a.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SpaceError) as raised:
        load_space(Path("a.yaml"), overrides)
    return raised.value.faults


@pytest.mark.parametrize(
    ("trial", "fault"),
    [
        ("{epochs: {int: [3, 1]}}", "epochs: low <= high must hold, got [3, 1]"),
        ("{method: {alpha: {loguniform: [0, 1]}}}", "method.alpha: 0 < low must hold for loguniform, got [0, 1]"),
        ("{dropout: {uniform: [0]}}", "dropout: expected two numbers [low, high], got [0]"),
        ("{dropout: {uniform: [.nan, 1]}}", "dropout: expected two numbers [low, high], got [nan, 1]"),
        ("{dropout: {uniform: [no, 1]}}", "dropout: expected two numbers [low, high], got [False, 1]"),
        ("{epochs: {int: [1, 2.5]}}", "epochs: expected two whole numbers [low, high], got [1, 2.5]"),
        ("{epochs: {choice: []}}", "epochs: expected at least one option, got []"),
        ("{epochs: {choice: {}}}", "epochs: expected at least one option, got {}"),
        ("{epochs: {choice: [1, 1]}}", "epochs: options must differ, got [1, 1]"),
        ("{dropout: {unifrm: [0, 1]}}", "dropout: unknown distribution 'unifrm'; did you mean 'uniform'?"),
        (
            "{dropout: {}}",
            "dropout: a distribution must have one of the keys uniform, loguniform, int, choice, got {}",
        ),
        (
            "{epochs: {choice: 3}}",
            "epochs: expected a list of options or a mapping of options to overrides, got 3",
        ),
        ("{backbone: {choice: {a: 3}}}", "backbone.choice.a: expected a mapping of overrides, got 3"),
        ("{epochs: {uniform: [1, 3]}}", "epochs: input should be a valid integer, got 1.0"),
        ("{dropout: {uniform: [0, 1]}}", "dropout: input should be less than 1, got 1.0"),
        ("{method: {tau: {uniform: [-2, -1]}}}", "method.tau: input should be greater than 0, got -2.0"),
        ("{method: {beta: 0, views: {uniform: [1, 2]}}}", "method.views: got 1.5; known: 1, 2"),
        (
            "{method: {views: 1}}",
            "method.beta: beta > 0 needs views: 2 (an image's other view is its positive); got beta 0.5 and views 1",
        ),
        (
            "{image_size: 8, augment: {crop_padding: 9}}",
            "augment.crop_padding: augment.crop_padding < image_size must hold, got 9 and 8",
        ),
        ("{optimizer: {name: {choice: [sgd, sdg]}}}", "optimizer.name: got 'sdg'; did you mean 'sgd'?"),
        ("{optimizer: {name: sdg}}", "optimizer.name: got 'sdg'; did you mean 'sgd'?"),
        ("{epochs: null}", "epochs: epochs or stages must be set, got neither"),
        ("{epochs: 2.0}", "epochs: input should be a valid integer, got 2.0"),
        ("{method: {ema_decy: 0.9}}", "method.ema_decy: unknown key; did you mean 'ema_decay'?"),
        ("{metod: {alpha: 1}}", "metod: unknown key; did you mean 'method'?"),
        ("{method: 3}", "method: expected a mapping, got 3"),
        (
            "{backbone: {choice: {a: {optimizer: {lr: -1}}, b: {}}}}",
            "backbone.choice.a.optimizer.lr: input should be greater than 0, got -1",
        ),
        (
            "{backbone: {choice: {a: {}, b: {optimizer: {lr: {uniform: [0, 1]}}}}}}",
            "backbone.choice.b.optimizer.lr: input should be greater than 0, got 0.0",
        ),
        (
            "{backbone: {choice: {a: {optimiser: {lr: 1}}}}}",
            "backbone.choice.a.optimiser: unknown key; did you mean 'optimizer'?",
        ),
        (
            "{backbone: {choice: {a: {backbone: b}}}}",
            "backbone: an option cannot override the choice it belongs to",
        ),
        (
            "{backbone: {choice: {a: {dropout: 0}}}, augment: {policy: {choice: {none: {dropout: 0.1}}}}}",
            "augment.policy: its options and those of trial.backbone both set trial.dropout; only one choice may",
        ),
    ],
)
def test_one_mistake_in_a_trial_is_one_line(trial, fault):
    assert faults(trial) == [f"a.yaml: trial.{fault}"]


@pytest.mark.parametrize(
    ("rest", "fault"),
    [
        (
            "study: ../up",
            "study: expected a name of letters, digits, '.', '_' and '-' that does not start with '.' or '-'",
        ),
        (
            "study: ..",
            "study: expected a name of letters, digits, '.', '_' and '-' that does not start with '.' or '-'",
        ),
        (
            "study: a b",
            "study: expected a name of letters, digits, '.', '_' and '-' that does not start with '.' or '-'",
        ),
        ("data: {}", "study: must be set"),
        ("study: s\nserach: {}", "serach: unknown key; did you mean 'search'?"),
        ("study: s\nextend: b.yaml", "extend: unknown key; did you mean 'extends'?"),
        ("study: s\nsearch: {sampler: tpee}", "search.sampler: got 'tpee'; did you mean 'tpe'?"),
        ("study: s\nsearch: {trials: 0}", "search.trials: input should be greater than or equal to 1, got 0"),
        ("study: s\nsearch: {first: [3]}", "search.first.0: expected a mapping, got 3"),
        ("study: s\nresources: [1]", "resources: expected a mapping, got [1]"),
        ("study: s\nresources: {workers: 0}", "resources.workers: input should be greater than or equal to 1, got 0"),
        (
            "study: s\nsearch: {first: [{}, {method: {alpha: -1}}]}",
            "search.first.1.method.alpha: input should be greater than or equal to 0, got -1",
        ),
        (
            "study: s\nsearch: {first: [{method: {alpa: 1}}]}",
            "search.first.0.method.alpa: unknown key; did you mean 'alpha'?",
        ),
    ],
)
def test_one_mistake_in_another_section_is_one_line(rest, fault):
    [found] = faults(rest=rest)
    assert found.startswith(f"a.yaml: {fault}")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("trial.method.alpa=1", "trial.method.alpa: unknown key; did you mean 'trial.method.alpha'?"),
        ("method.alpha=1", "method.alpha: unknown key; did you mean 'trial.method.alpha'?"),
        ("zzz=1", "zzz: unknown key; known: ablation, data, resources, search, study, trial"),
        ("extends=b.yaml", "extends: unknown key; known: ablation, data, resources, search, study, trial"),
        ("trial.backbone.choice=[a]", "trial.backbone.choice: unknown key; did you mean 'trial.backbone'?"),
        ("trial.epochs", "expected path=value, got 'trial.epochs'"),
        ("=3", "expected path=value, got '=3'"),
        ("trial.epochs=0", "trial.epochs: input should be greater than or equal to 1, got 0"),
        ("trial.epochs={int: [2, 1]}", "trial.epochs: low <= high must hold, got [2, 1]"),
        ("trial.epochs=", "trial.epochs: epochs or stages must be set, got neither"),
        ("trial.method=3", "trial.method: expected a mapping, got 3"),
        ("search.trials=many", "search.trials: input should be a valid integer, got 'many'"),
    ],
)
def test_a_fault_in_set_names_set(text, fault):
    assert faults(overrides=[text]) == [f"--set: {fault}"]


def test_set_that_is_not_yaml_is_named():
    [fault] = faults(overrides=["trial.epochs=[1"])
    assert fault.startswith("--set: trial.epochs: not valid YAML: line 1, column 3: ")


def test_all_faults_are_reported_together_each_with_its_file():
    Path("base.yaml").write_text(
        "study: s\nserach: {}\ntrial: {dropout: 2, method: {alpha: {uniform: [1, 0]}, tau: 0}}", encoding="utf-8"
    )
    trial = """
      method: {tau: {choice: [0.1, -1, 0]}}
      augment: {policy: {choice: [none, autoaugment, trivialaugment, cutuot]}}
      backbone: {choice: {a: {optimizer: {lr: 0}}, b: {epochs: {int: [2]}}, c: {}}}
    """
    rest = "extends: base.yaml\nsearch: {first: [{backbone: 3}, {method: {gamma: -2}}]}"
    assert sorted(faults(trial, rest, ["trial.seed=x"])) == sorted(
        [
            "base.yaml: serach: unknown key; did you mean 'search'?",
            "base.yaml: trial.dropout: input should be less than 1, got 2",
            "base.yaml: trial.method.alpha: low <= high must hold, got [1, 0]",
            "a.yaml: trial.method.tau: input should be greater than 0, got -1",
            "a.yaml: trial.method.tau: input should be greater than 0, got 0",
            "a.yaml: trial.augment.policy: got 'cutuot'; known: autoaugment, autoaugment_cifar10, basic, none, "
            "randaugment, trivialaugment",
            "a.yaml: trial.backbone.choice.a.optimizer.lr: input should be greater than 0, got 0",
            "a.yaml: trial.backbone.choice.b.epochs: expected two whole numbers [low, high], got [2]",
            "a.yaml: search.first.0.backbone: input should be a valid string, got 3",
            "a.yaml: search.first.1.method.gamma: input should be greater than or equal to 0, got -2",
            "--set: trial.seed: input should be a valid integer, got 'x'",
        ]
    )


def test_a_missing_parent_is_named_and_what_can_be_read_is_still_checked():
    assert faults("{epochs: 0}", "extends: sub/none.yaml") == [
        "a.yaml: extends: sub/none.yaml: no such file, and no space of this name; known: ablation, cr, fit, gem, jz, "
        "photos32, photos32_quick, vipriors",
        "a.yaml: trial.epochs: input should be greater than or equal to 1, got 0",
    ]


@pytest.mark.parametrize("value", ["3", "[b.yaml, c.yaml]"])
def test_extends_takes_one_path(value):
    [fault] = faults(rest=f"study: s\nextends: {value}")
    assert fault.startswith("a.yaml: extends: expected a path, got ")


def test_files_that_extend_each_other_in_a_cycle_are_refused():
    Path("b.yaml").write_text("extends: c.yaml", encoding="utf-8")
    Path("c.yaml").write_text("extends: a.yaml", encoding="utf-8")
    cycle = "a.yaml -> b.yaml -> c.yaml -> a.yaml"
    assert faults(rest="study: s\nextends: b.yaml") == [f"c.yaml: extends: forms a cycle: {cycle}"]
    assert faults(rest="study: s\nextends: a.yaml") == ["a.yaml: extends: forms a cycle: a.yaml -> a.yaml"]


def test_a_file_that_cannot_be_read_is_the_only_fault():
    with pytest.raises(SpaceError) as raised:
        load_space(Path("none.yaml"))
    assert raised.value.faults == ["none.yaml: cannot be read (No such file or directory)"]
    assert faults(rest="- a list") == ["a.yaml: expected a mapping of sections, got ['a list']"]
    [fault] = faults(rest="study: s\nstudy: t")
    assert fault.startswith("a.yaml: not valid YAML: ")
    assert "key 'study' is repeated" in fault


def test_a_stored_space_with_a_mistake_names_its_file():
    with pytest.raises(SpaceError, match=r"^study\.yaml: trial\.epochs: input should be"):
        space_from({"study": "s", "trial": {"epochs": 0}}, "study.yaml")
