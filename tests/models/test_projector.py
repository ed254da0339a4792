import pytest
import torch

from raysearch.models.projector import Projector

FEATURES = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))


def projector():
    torch.manual_seed(0)
    return Projector(8, 3)


def test_every_row_of_its_output_has_length_one():
    projected = projector()(FEATURES)
    assert projected.shape == (5, 3)
    torch.testing.assert_close(projected.norm(dim=1), torch.ones(5))


def test_by_hand():
    module = Projector(2, 2)
    with torch.no_grad():
        module.hidden.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
        module.out.weight.copy_(torch.tensor([[3.0, 0.0], [4.0, 1.0]]))
        module.hidden.bias.zero_()
        module.out.bias.zero_()
    # Hidden (2, relu(-5) = 0), out (6, 8), of length 10.
    torch.testing.assert_close(module(torch.tensor([[2.0, 5.0]])), torch.tensor([[0.6, 0.8]]))


def test_gradient_reaches_all_of_it_and_the_features():
    module, features = projector(), FEATURES.clone().requires_grad_()
    (module(features) * torch.arange(3)).sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in module.parameters())
    assert features.grad.abs().max() > 0


@pytest.mark.parametrize(("within", "found"), [(torch.bfloat16, torch.float32), (torch.float64, torch.float64)])
def test_it_normalises_in_float32_at_least(within, found):
    projected = projector().to(within)(FEATURES.to(within))
    assert projected.dtype == found
    torch.testing.assert_close(projected.norm(dim=1), torch.ones(5, dtype=found))
