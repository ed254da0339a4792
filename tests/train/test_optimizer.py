import pytest
import torch

from raysearch.config import OptimizerConfig, TrialConfig
from raysearch.models import build_classifier
from raysearch.train.optimizer import Schedule, build_optimizer
from raysearch.train.task import Student

CONFIG = OptimizerConfig(lr=0.1, warmup_epochs=2, warmup_lr=0.001)


def schedule(steps_per_epoch, epochs, optimizer=CONFIG, **trial):
    return Schedule(TrialConfig(epochs=epochs, optimizer=optimizer, **trial), steps_per_epoch)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.001),
        (10, 0.0505),  # half of a warm-up of 2 epochs x 10 steps
        (20, 0.1),  # its end
        (60, 0.05),  # half of the cosine's 80 steps
        (40, 0.1 * (1 + 2**-0.5) / 2),  # a quarter
        (99, 3.8545e-5),  # the last step
        (100, 0.0),
    ],
)
def test_the_rate_is_linear_then_a_cosine(step, expected):
    assert schedule(10, 10).rate(step) == pytest.approx(expected, rel=1e-4, abs=1e-12)


def test_a_warm_up_takes_at_most_half_the_run():
    rates = [schedule(10, 2).rate(step) for step in range(20)]
    assert rates.index(max(rates)) == 10
    assert max(rates) == pytest.approx(0.1)


def test_without_warm_up_the_first_step_has_the_full_rate():
    assert schedule(10, 10, CONFIG.model_copy(update={"warmup_epochs": 0})).rate(0) == pytest.approx(0.1)


def test_a_run_of_one_step_has_a_rate():
    assert schedule(1, 1).rate(0) > 0


def test_the_linear_scaling_rule_takes_all_images_of_a_step():
    config = OptimizerConfig(lr=0.1, lr_batch=256, warmup_epochs=1, warmup_lr=0)
    trial = TrialConfig(epochs=4, batch_size=64, accumulation=2, optimizer=config)
    found = Schedule(trial, steps_per_epoch=10, workers=3)
    assert found.rate(10) == pytest.approx(0.1 * 64 * 2 * 3 / 256)
    assert found.rate(0) == 0


@pytest.mark.parametrize("name", ["rmsproptf", "sgd", "adam", "adamw"])
def test_biases_and_normalisation_have_no_weight_decay(name):
    model = build_classifier("wrn_10_1", 5, 16, has_aux_head=True)
    optimizer = build_optimizer(model, OptimizerConfig(name=name, weight_decay=0.01))
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    for parameter in model.parameters():
        assert decay.pop(id(parameter)) == (0.01 if parameter.ndim > 1 else 0.0)
    assert not decay


@pytest.mark.parametrize(
    ("name", "kind"), [("rmsproptf", "RMSpropTF"), ("sgd", "SGD"), ("adam", "Adam"), ("adamw", "AdamW")]
)
def test_each_name_is_its_optimizer_with_the_papers_settings(name, kind):
    optimizer = build_optimizer(torch.nn.Linear(2, 2), OptimizerConfig(name=name, lr=0.2, momentum=0.8))
    group = optimizer.param_groups[0]
    own = {"rmsproptf": {"alpha": 0.9, "eps": 1e-3, "momentum": 0.8}, "sgd": {"momentum": 0.8, "nesterov": True}}
    assert type(optimizer).__name__ == kind
    assert group["lr"] == 0.2
    assert {key: group[key] for key in own.get(name, {})} == own.get(name, {})


def test_sgd_without_momentum_is_plain():
    optimizer = build_optimizer(torch.nn.Linear(2, 2), OptimizerConfig(name="sgd", momentum=0.0))
    assert optimizer.param_groups[0]["nesterov"] is False


def test_parameters_that_a_backbone_excludes_have_no_weight_decay():
    args = {"dropout": 0.0, "drop_path_rate": None}
    swin = build_classifier("swin_tiny_patch4_window7_224", 3, 64, has_aux_head=False, **args)
    optimizer = build_optimizer(Student(swin, None), OptimizerConfig(weight_decay=0.01))
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    tables = [p for name, p in swin.named_parameters() if "relative_position_bias_table" in name]
    assert tables
    assert {decay[id(table)] for table in tables} == {0.0}
