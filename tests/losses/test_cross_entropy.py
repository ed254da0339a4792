import math

import numpy as np
import pytest
import reference
import torch

from raysearch.losses import cross_entropy, reverse_cross_entropy

P = torch.tensor([[0.7, 0.2, 0.1]])


def test_cross_entropy_of_a_hard_label_is_minus_the_log_of_its_probability():
    assert cross_entropy(P.log(), torch.tensor([[1.0, 0.0, 0.0]])).item() == pytest.approx(0.3566749)


def test_cross_entropy_of_a_mixed_label_weighs_both_classes():
    # 0.75 * -ln 0.7 + 0.25 * -ln 0.1
    assert cross_entropy(P.log(), torch.tensor([[0.75, 0.0, 0.25]])).item() == pytest.approx(0.8431525)


@pytest.mark.parametrize(("log_floor", "expected"), [(-4.0, 1.2), (-9.21, 2.763)])
def test_reverse_cross_entropy_counts_probability_off_the_label_at_the_floor(log_floor, expected):
    # 0.7 * 0 + (0.2 + 0.1) * -floor
    found = reverse_cross_entropy(P.log(), torch.tensor([[1.0, 0.0, 0.0]]), log_floor)
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_the_floor_leaves_targets_above_it_alone():
    target = torch.tensor([[0.9, 0.05, 0.05]])  # ln 0.05 = -2.996, above -4
    expected = -(0.7 * math.log(0.9) + 0.3 * math.log(0.05))
    assert reverse_cross_entropy(P.log(), target, -4.0).item() == pytest.approx(expected, rel=1e-6)


def test_a_target_below_the_floor_counts_as_the_floor():
    target = torch.tensor([[0.99, 0.01, 0.0]])  # ln 0.01 = -4.6, below -4
    expected = -(0.7 * math.log(0.99) + 0.3 * -4)
    assert reverse_cross_entropy(P.log(), target, -4.0).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_both_agree_with_loops_in_float64(dtype, rtol):
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(6, 5)), rng.dirichlet([0.3] * 5, size=6)
    p = reference.softmax(logits)
    log_probs, q = torch.tensor(logits).to(dtype).log_softmax(1), torch.tensor(targets).to(dtype)
    np.testing.assert_allclose(cross_entropy(log_probs, q), reference.cross_entropy(p, targets), rtol=rtol)
    expected = reference.reverse_cross_entropy(p, targets, -4.0)
    np.testing.assert_allclose(reverse_cross_entropy(log_probs, q, -4.0), expected, rtol=rtol)
