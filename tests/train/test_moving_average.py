import pytest
import torch
from torch import nn

from raysearch.train.ema import MovingAverage


def student():
    """A weight, a float buffer and an integer one, all 0."""
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    module.register_buffer("running", torch.zeros(2))
    module.register_buffer("count", torch.zeros((), dtype=torch.int64))
    return module


def step(module, value):
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.fill_(value)


def test_it_is_the_closed_form_with_its_warm_up():
    module = student()
    average = MovingAverage(module, decay=0.7)
    # Decays 1/2, 2/3, then 0.7: 1/2 * 0 + 1/2 * 1; 2/3 * 1/2 + 1/3 * 2; 0.7 * 1 + 0.3 * 3; 0.7 * 1.6 + 0.3 * 4
    for t, (value, expected) in enumerate([(1, 0.5), (2, 1.0), (3, 1.6), (4, 2.32)], start=1):
        step(module, value)
        average.update(t)
        assert average.model.weight.item() == pytest.approx(expected, rel=1e-6)
        assert average.model.running.tolist() == pytest.approx([expected] * 2, rel=1e-6)
        assert average.model.count.item() == value


def test_it_starts_at_the_students_weights():
    module = student()
    step(module, 5)
    assert MovingAverage(module, 0.9).model.weight.item() == 5


def test_a_decay_of_zero_follows_the_student():
    module = student()
    average = MovingAverage(module, 0.0)
    step(module, 3)
    average.update(100)
    assert average.model.weight.item() == 3


def test_neither_network_gets_a_graph_and_the_student_stays_trainable():
    module = student()
    average = MovingAverage(module, 0.9)
    average.update(1)
    assert not any(parameter.requires_grad for parameter in average.model.parameters())
    assert average.model.weight.grad_fn is None
    assert module.weight.requires_grad


@pytest.mark.parametrize("convert", ["dtype", "memory_format", "device"])
def test_it_still_averages_after_both_networks_are_moved(convert):
    """Moving replaces a module's buffers, and its parameters' storage."""
    module = nn.Sequential(nn.Conv2d(2, 2, 2, bias=False), nn.BatchNorm2d(2))
    average = MovingAverage(module, 0.5)
    where = {"dtype": torch.float64, "memory_format": torch.channels_last, "device": "meta"}[convert]
    for network in (module, average.model):
        network.to(**{convert: where})
    if convert == "device":
        module.to_empty(device="cpu"), average.model.to_empty(device="cpu")
        step(average.model, 0)
    before = {name: tensor.clone() for name, tensor in average.model.state_dict().items()}
    step(module, 4)
    average.update(9)
    for name, tensor in average.model.state_dict().items():
        expected = torch.full_like(tensor, 4) if name.endswith("num_batches_tracked") else before[name] / 2 + 2
        torch.testing.assert_close(tensor, expected)


def test_a_weight_that_two_modules_share_is_averaged_once():
    first, second = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
    second.weight = first.weight
    module = nn.Sequential(first, second)
    average = MovingAverage(module, 0.75)
    step(average.model, 0)
    step(module, 4)
    average.update(9)
    assert average.model[0].weight is average.model[1].weight
    torch.testing.assert_close(average.model[0].weight, torch.ones(2, 2), check_stride=False)


def test_it_still_averages_after_a_checkpoint_is_loaded_into_both():
    module = student()
    average = MovingAverage(module, 0.5)
    module.load_state_dict({"weight": torch.ones(1, 1), "running": torch.ones(2), "count": torch.tensor(1)})
    average.model.load_state_dict({"weight": torch.zeros(1, 1), "running": torch.zeros(2), "count": torch.tensor(0)})
    average.update(9)
    assert average.model.weight.item() == 0.5
