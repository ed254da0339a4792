import math

import numpy as np
import pytest
import reference
import torch
from torch.utils.flop_counter import FlopCounterMode

from raysearch.losses.contrastive import contrastive_regularization, positive_pairs


def batch(n=7, classes=4, seed=0):
    """Probabilities in float64 and positives of which anchor 2 has none."""
    generator = torch.Generator().manual_seed(seed)
    probs = torch.randn(n, classes, generator=generator, dtype=torch.float64).softmax(1)
    positives = torch.rand(n, n, generator=generator) < 0.4
    positives[2] = False
    return probs, positives


@pytest.mark.parametrize("tau", [0.05, 0.1, 1.0])
def test_it_is_the_papers_formula(tau):
    probs, positives = batch()
    expected = reference.contrastive(probs.numpy(), positives.numpy(), tau)
    terms, has_positive = contrastive_regularization(probs, positives, tau)
    assert has_positive.tolist() == [term is not None for term in expected]
    np.testing.assert_allclose(terms, [term or 0 for term in expected], rtol=1e-12)


def test_two_equal_views_alone_cost_nothing():
    probs = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
    terms, _ = contrastive_regularization(probs, torch.ones(2, 2, dtype=torch.bool), 0.1)
    torch.testing.assert_close(terms, torch.zeros(2))


def test_four_one_hot_rows_by_hand():
    # Anchor 0 has positive 1 (product 1) and negatives 2, 3 (product 0): ln(e + 2) - 1 at tau 1.
    probs = torch.eye(2)[[0, 0, 1, 1]]
    positives = torch.tensor([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]], dtype=torch.bool)
    terms, _ = contrastive_regularization(probs, positives, 1.0)
    torch.testing.assert_close(terms, torch.full((4,), 0.5514447))


def test_an_anchor_is_never_its_own_positive():
    probs, positives = batch()
    with_diagonal = positives | torch.eye(len(probs), dtype=torch.bool)
    torch.testing.assert_close(
        contrastive_regularization(probs, positives, 0.1), contrastive_regularization(probs, with_diagonal, 0.1)
    )


def test_without_any_positive_terms_and_gradients_are_zero_not_nan():
    probs = batch()[0].requires_grad_()
    terms, has_positive = contrastive_regularization(probs, torch.eye(7, dtype=torch.bool), 0.1)
    terms.sum().backward()
    assert not has_positive.any()
    assert terms.abs().max() == 0
    assert probs.grad.abs().max() == 0


def test_a_batch_of_one_has_no_term():
    probs = torch.tensor([[0.3, 0.7]], requires_grad=True)
    terms, _ = contrastive_regularization(probs, torch.ones(1, 1, dtype=torch.bool), 0.1)
    terms.sum().backward()
    assert terms.tolist() == [0]
    assert probs.grad.tolist() == [[0, 0]]


def test_its_gradient_is_that_of_finite_differences():
    probs, positives = batch(n=5)

    def terms(rows):
        return contrastive_regularization(rows, positives, 0.5)[0]

    assert torch.autograd.gradcheck(terms, probs.requires_grad_(), atol=1e-6)


def plain_terms(rows, positives, tau):
    """The formula by torch's own operations, with autograd's gradient."""
    itself = torch.eye(len(rows), dtype=torch.bool)
    similarity = rows @ rows.T / tau
    log_share = similarity - similarity.masked_fill(itself, -math.inf).logsumexp(1, keepdim=True)
    weights = (positives & ~itself).to(rows.dtype)
    return -(log_share * weights).sum(1) / weights.sum(1).clamp_min(1)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 2e-5)])
@pytest.mark.parametrize("n", [3, 130])
def test_terms_and_weighted_gradient_are_those_of_the_plain_formula(n, dtype, tolerance):
    probs, positives = batch(n, classes=40)
    weights = torch.rand(n, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found, expected = (probs.clone().to(its).requires_grad_() for its in (dtype, torch.float64))
    terms, _ = contrastive_regularization(found, positives, 0.1)
    expected_terms = plain_terms(expected, positives, 0.1)
    (terms * weights).sum().backward()
    (expected_terms * weights).sum().backward()
    assert terms.dtype == found.grad.dtype == dtype
    torch.testing.assert_close(terms.double(), expected_terms, rtol=0, atol=tolerance)
    torch.testing.assert_close(found.grad.double(), expected.grad, rtol=0, atol=tolerance)


def test_a_second_backward_pass_adds_the_same_gradient_again():
    probs, positives = batch()
    probs.requires_grad_()
    terms, _ = contrastive_regularization(probs, positives, 0.1)
    terms.sum().backward(retain_graph=True)
    once = probs.grad.clone()
    terms.sum().backward()
    assert once.abs().max() > 0
    torch.testing.assert_close(probs.grad, 2 * once)


def test_forward_and_backward_take_two_matrix_products():
    n, width = 50, 64
    rows = torch.rand(n, width, dtype=torch.float64).softmax(1).requires_grad_()
    with FlopCounterMode(display=False) as counter:
        contrastive_regularization(rows, torch.ones(n, n, dtype=torch.bool), 0.1)[0].sum().backward()
    assert counter.get_total_flops() == 2 * (2 * n * n * width)


def test_its_arguments_are_left_as_they_are():
    probs, positives = batch()
    before = probs.clone(), positives.clone()
    contrastive_regularization(probs, positives, 0.1)
    assert torch.equal(probs, before[0])
    assert torch.equal(positives, before[1])


def test_features_of_length_one_by_hand():
    # Cosines to anchor 0: 1/2 (its positive), -1. ln(e^0.5 + e^-1) - 0.5 at tau 1.
    angles = torch.tensor([0.0, math.pi / 3, math.pi])
    features = torch.stack([angles.cos(), angles.sin()], 1)
    positives = torch.tensor([[0, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=torch.bool)
    terms, _ = contrastive_regularization(features, positives, 1.0)
    assert terms[0].item() == pytest.approx(math.log(math.exp(0.5) + math.exp(-1)) - 0.5, rel=1e-6)
    assert terms[2].item() == 0


def test_large_similarities_over_a_small_temperature_stay_finite():
    terms, _ = contrastive_regularization(torch.eye(3)[[0, 0, 1]], torch.ones(3, 3, dtype=torch.bool), 1e-3)
    assert terms.isfinite().all()


NEAR = torch.tensor([[0.0, 0.005, 0.006], [0.005, 0.0, 0.0], [0.006, 0.0, 0.0]])


def test_delta_zero_pairs_only_the_two_views_of_an_image():
    # Images 1 and 2 have equal targets and still are no positives of each other.
    assert positive_pairs(NEAR, 0.0, 2).nonzero().tolist() == [
        [row, column] for row in range(6) for column in range(6) if row % 3 == column % 3
    ]


def test_a_divergence_of_exactly_delta_is_a_positive_and_one_above_is_not():
    near = torch.tensor([[1, 1, 0], [1, 1, 1], [0, 1, 1]], dtype=torch.bool)
    torch.testing.assert_close(positive_pairs(NEAR, 0.005, 1), near)
    torch.testing.assert_close(positive_pairs(NEAR, 0.005, 2), torch.cat([torch.cat([near, near], 1)] * 2))


def test_one_view_and_delta_zero_leave_no_positive_but_oneself():
    torch.testing.assert_close(positive_pairs(NEAR, 0.0, 1), torch.eye(3, dtype=torch.bool))
