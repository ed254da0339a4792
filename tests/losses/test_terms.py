"""What every row of `TERMS` guarantees, for each value of the options that change it."""

import pytest
import torch

from raysearch.config import MethodConfig
from raysearch.losses import TERMS, SoftTargets, needs_embeddings, needs_teacher
from raysearch.losses.inputs import LossInputs

BATCH, CLASSES, WIDTH = 4, 5, 3
METHODS = {
    "default": MethodConfig(),
    "features": MethodConfig(contrast="features"),
    "sum": MethodConfig(reduction="sum"),
    "teacher_student": MethodConfig(direction="teacher_student"),
}
NAMES = [term.name for term in TERMS]


def inputs(dtype=torch.float32):
    """Two views of a batch, with everything that a term can need."""
    generator = torch.Generator().manual_seed(0)
    logits, teacher_logits = torch.randn(2, 2 * BATCH, CLASSES, generator=generator).to(dtype)
    embeddings = torch.nn.functional.normalize(torch.randn(2 * BATCH, WIDTH, generator=generator), dim=1).to(dtype)
    masses = torch.tensor([0.7, 0.3], dtype=torch.float64).expand(BATCH, 2)
    labels = SoftTargets(torch.arange(BATCH)[:, None] + torch.tensor([0, 1]), masses, CLASSES)
    targets = labels.dense(0.1).repeat(2, 1)
    return LossInputs(logits.requires_grad_(), targets, labels, teacher_logits, embeddings.requires_grad_())


def test_names_are_unique():
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("term", TERMS, ids=NAMES)
def test_weight_and_ramp_up_are_fields_of_the_method(term):
    assert {term.weight, term.rampup_epochs} - {None} <= set(MethodConfig.model_fields)


@pytest.mark.parametrize("term", [term for term in TERMS if term.weight], ids=lambda term: term.name)
def test_a_term_is_active_if_its_weight_is_above_zero(term):
    assert term.is_active(MethodConfig(**{term.weight: 0.1}))
    assert not term.is_active(MethodConfig(**{term.weight: 0.0}))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("term", TERMS, ids=NAMES)
def test_a_term_is_finite_with_a_finite_gradient(term, method):
    values = inputs()
    result = term.compute(values, METHODS[method])
    result.mean().backward()
    assert result.shape in {(), (2 * BATCH,)}
    assert result.isfinite().all()
    read = values.embeddings if term.needs_embeddings(METHODS[method]) else values.logits
    assert read.grad.isfinite().all()
    assert read.grad.abs().max() > 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("term", TERMS, ids=NAMES)
def test_bfloat16_inputs_are_computed_in_higher_precision(term, method):
    rounded = term.compute(inputs(torch.bfloat16), METHODS[method]).mean()
    assert rounded.dtype in {torch.float32, torch.float64}
    assert rounded.item() == pytest.approx(term.compute(inputs(), METHODS[method]).mean().item(), rel=0.05, abs=0.01)


@pytest.mark.parametrize("term", TERMS, ids=NAMES)
def test_a_term_reads_only_what_it_declares(term):
    """It computes without teacher and embeddings unless it needs them, and fails loudly if it needs them."""
    full = inputs()
    without = LossInputs(full.logits, full.targets, full.labels)
    for method in METHODS.values():
        if term.needs_teacher or term.needs_embeddings(method):
            with pytest.raises(AssertionError, match=r"teacher_logits|embeddings"):
                term.compute(without, method)
        else:
            assert term.compute(without, method).isfinite().all()


@pytest.mark.parametrize(
    ("method", "teacher", "embeddings"),
    [
        ({}, True, False),
        ({"gamma": 0.0}, False, False),
        ({"contrast": "features"}, True, True),
        ({"contrast": "features", "beta": 0.0}, True, False),
    ],
)
def test_a_method_needs_what_its_active_terms_need(method, teacher, embeddings):
    assert needs_teacher(MethodConfig(**method)) == teacher
    assert needs_embeddings(MethodConfig(**method)) == embeddings
