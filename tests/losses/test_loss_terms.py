"""What every term promises: a finite value a sample, differentiable, in whatever the network computes in."""

import pytest
import torch

from raysearch.losses import contrastive_regularization, cross_entropy, mean_teacher, reverse_cross_entropy

BATCH, CLASSES = 6, 5
GENERATOR = torch.Generator().manual_seed(0)
TARGETS = torch.eye(CLASSES)[torch.arange(BATCH) % CLASSES] * 0.9 + 0.02
OTHER = torch.randn(BATCH, CLASSES, generator=GENERATOR).log_softmax(1)
POSITIVES = torch.eye(BATCH // 2, dtype=torch.bool).repeat(2, 2)

TERMS = {
    "cross_entropy": lambda log_probs: cross_entropy(log_probs, TARGETS),
    "reverse_cross_entropy": lambda log_probs: reverse_cross_entropy(log_probs, TARGETS, -4.0),
    "contrastive": lambda log_probs: contrastive_regularization(log_probs.exp(), POSITIVES, 0.1)[0],
    "mean_teacher": lambda log_probs: mean_teacher(log_probs, OTHER, "student_teacher"),
    "mean_teacher_reversed": lambda log_probs: mean_teacher(log_probs, OTHER, "teacher_student"),
}


@pytest.fixture(params=[1.0, 60.0], ids=["usual", "saturated"])
def logits(request):
    generator = torch.Generator().manual_seed(1)
    return (request.param * torch.randn(BATCH, CLASSES, generator=generator)).requires_grad_()


@pytest.mark.parametrize("name", TERMS)
def test_a_term_is_a_finite_value_a_sample(name, logits):
    value = TERMS[name](logits.log_softmax(1))
    assert value.shape == (BATCH,)
    assert value.isfinite().all()


@pytest.mark.parametrize("name", TERMS)
def test_a_term_has_a_finite_gradient(name, logits):
    TERMS[name](logits.log_softmax(1)).mean().backward()
    assert logits.grad.isfinite().all()
    assert logits.grad.abs().max() > 0


@pytest.mark.parametrize("name", TERMS)
def test_a_term_is_near_its_value_when_logits_are_bfloat16(name, logits):
    exact = TERMS[name](logits.log_softmax(1))
    rounded = TERMS[name](logits.bfloat16().float().log_softmax(1))
    torch.testing.assert_close(rounded, exact, rtol=0.05, atol=0.3)
