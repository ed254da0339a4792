"""Every loss function returns one finite value per sample and is differentiable, also for bfloat16 logits."""

import pytest
import torch

from raysearch.losses import contrastive_regularization, cross_entropy, mean_teacher, reverse_cross_entropy

BATCH, CLASSES = 6, 5
GENERATOR = torch.Generator().manual_seed(0)
TARGETS = torch.eye(CLASSES, dtype=torch.float64)[torch.arange(BATCH) % CLASSES] * 0.9 + 0.02
TEACHER = torch.randn(BATCH, CLASSES, generator=GENERATOR, dtype=torch.float64)
POSITIVES = torch.eye(BATCH // 2, dtype=torch.bool).repeat(2, 2)

TERMS = {
    "cross_entropy": lambda log_probs, teacher: cross_entropy(log_probs, TARGETS.to(log_probs)),
    "reverse_cross_entropy": lambda log_probs, teacher: reverse_cross_entropy(log_probs, TARGETS.to(log_probs), -4.0),
    "contrastive": lambda log_probs, teacher: contrastive_regularization(log_probs.exp(), POSITIVES, 0.1)[0],
    "contrastive_features": lambda log_probs, teacher: contrastive_regularization(
        torch.nn.functional.normalize(log_probs, dim=1), POSITIVES, 0.1
    )[0],
    "mean_teacher": lambda log_probs, teacher: mean_teacher(log_probs, teacher, "student_teacher"),
    "mean_teacher_reversed": lambda log_probs, teacher: mean_teacher(log_probs, teacher, "teacher_student"),
}


def term(name, logits, teacher_logits=TEACHER):
    return TERMS[name](logits.log_softmax(1), teacher_logits.to(logits.dtype).log_softmax(1))


@pytest.fixture(params=[1.0, 60.0], ids=["usual", "saturated"])
def logits(request):
    generator = torch.Generator().manual_seed(1)
    return (request.param * torch.randn(BATCH, CLASSES, generator=generator)).requires_grad_()


@pytest.mark.parametrize("name", TERMS)
def test_a_term_is_a_finite_value_a_sample(name, logits):
    value = term(name, logits)
    assert value.shape == (BATCH,)
    assert value.isfinite().all()


@pytest.mark.parametrize("name", TERMS)
def test_a_term_has_a_finite_gradient(name, logits):
    term(name, logits).mean().backward()
    assert logits.grad.isfinite().all()
    assert logits.grad.abs().max() > 0


@pytest.mark.parametrize("name", TERMS)
def test_a_terms_gradient_is_that_of_finite_differences(name):
    generator = torch.Generator().manual_seed(2)
    student = torch.randn(BATCH, CLASSES, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: term(name, values), student, eps=1e-6, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("name", TERMS)
def test_gradient_reaches_the_student_and_never_the_teacher(name, logits):
    teacher = TEACHER.clone().requires_grad_()
    term(name, logits, teacher).sum().backward()
    assert logits.grad.abs().max() > 0
    assert teacher.grad is None


@pytest.mark.parametrize("name", [name for name in TERMS if not name.startswith("contrastive")])
def test_a_samples_term_depends_on_that_sample_alone(name):
    logits = torch.randn(BATCH, CLASSES, generator=torch.Generator().manual_seed(3))
    changed = logits.clone()
    changed[3] += torch.linspace(0, 3, CLASSES)
    is_same = term(name, logits) == term(name, changed)
    assert is_same.tolist() == [row != 3 for row in range(BATCH)]


@pytest.mark.parametrize("name", TERMS)
def test_a_term_of_bfloat16_logits_in_float32_is_that_of_the_same_logits_in_float64(name, logits):
    rounded = logits.detach().bfloat16()
    found = term(name, rounded.float())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), term(name, rounded.double()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", TERMS)
def test_a_term_is_near_its_value_when_logits_are_bfloat16(name, logits):
    exact = term(name, logits)
    rounded = term(name, logits.bfloat16().float())
    torch.testing.assert_close(rounded, exact, rtol=0.05, atol=0.3)
