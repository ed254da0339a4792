import math

import numpy as np
import pytest
import reference
import torch

from raysearch.config import MethodConfig
from raysearch.losses import CompositeLoss, SoftTargets
from raysearch.losses.composite import rampup

BATCH, CLASSES = 5, 4
OFF = {"alpha": 0.0, "beta": 0.0, "gamma": 0.0, "aux_weight": 0.0}


def tensors(views=2):
    """Logits of the final head, the auxiliary head and the teacher."""
    generator = torch.Generator().manual_seed(3)
    return tuple(torch.randn(views * BATCH, CLASSES, generator=generator) for _ in range(3))


@pytest.fixture
def targets():
    classes = torch.tensor([[0, 1], [1, 0], [2, 2], [3, 0], [0, 1]])
    return SoftTargets(classes, torch.tensor([0.7, 0.3]).expand(BATCH, 2), CLASSES)


def embeddings():
    """Projected features of length 1, one per view and image."""
    generator = torch.Generator().manual_seed(4)
    return torch.nn.functional.normalize(torch.randn(2 * BATCH, 6, generator=generator), dim=1)


def expected_parts(method, smoothing, targets, epochs_done, outputs=None):
    """Every part and the loss by `reference`, in float64."""
    logits, aux, teacher = (reference.softmax(t.double().numpy()) for t in outputs or tensors(method.views))
    labels = reference.dense(targets.classes.tolist(), targets.masses.double().numpy(), CLASSES)
    smoothed = np.tile(labels * (1 - smoothing) + smoothing / CLASSES, (method.views, 1))
    near = np.eye(BATCH, dtype=bool) | ((method.delta > 0) & (reference.jensen_shannon(labels) <= method.delta + 1e-7))
    contrasted = logits if method.contrast == "probs" else embeddings().double().numpy()
    contrastive = reference.contrastive(contrasted, np.tile(near, (method.views, method.views)), method.tau)
    reduce = {"mean": np.mean, "sum": np.sum}[method.reduction]
    parts = {
        "ce": reference.cross_entropy(logits, smoothed).mean(),
        "rce": reference.reverse_cross_entropy(logits, smoothed, method.log_floor).mean(),
        "cr": reduce([term for term in contrastive if term is not None]),
        "mt": reference.kl(*((logits, teacher) if method.direction == "student_teacher" else (teacher, logits))).mean(),
        "aux_ce": reference.cross_entropy(aux, smoothed).mean(),
        "aux_rce": reference.reverse_cross_entropy(aux, smoothed, method.log_floor).mean(),
    }
    gamma = method.gamma * math.exp(-5 * (1 - epochs_done / method.rampup_epochs) ** 2)
    auxiliary = method.aux_weight * (parts["aux_ce"] + method.alpha * parts["aux_rce"])
    loss = parts["ce"] + method.alpha * parts["rce"] + method.beta * parts["cr"] + gamma * parts["mt"] + auxiliary
    return {"loss": loss, **parts}


@pytest.mark.parametrize("delta", [0.0, 0.005, 0.2])
@pytest.mark.parametrize("alpha", [0.01, 1.0])
def test_the_whole_is_the_weighted_sum_of_the_papers_terms(alpha, delta, targets):
    method = MethodConfig(alpha=alpha, log_floor=-2.5, delta=delta, beta=0.7, gamma=2.0, aux_weight=0.4)
    terms = CompositeLoss(method, 0.1)(*tensors(), targets, epochs_done=2.0)
    expected = expected_parts(method, 0.1, targets, 2.0)
    assert {name: float(part) for name, part in terms.parts.items()} == pytest.approx(expected, rel=1e-5)
    assert terms.loss.item() == pytest.approx(expected["loss"], rel=1e-5)


@pytest.mark.parametrize(
    "chosen",
    [
        {"contrast": "features", "tau": 0.3},
        {"reduction": "sum"},
        {"direction": "teacher_student"},
        {"gather": True},
    ],
)
def test_each_choice_of_the_method_is_its_formula(chosen, targets):
    """Without other ranks, a gathered contrast is one's own."""
    method = MethodConfig(**chosen)
    terms = CompositeLoss(method, 0.1)(*tensors(), targets, 2.0, embeddings=embeddings())
    expected = expected_parts(method, 0.1, targets, 2.0)
    assert {name: float(part) for name, part in terms.parts.items()} == pytest.approx(expected, rel=1e-5)


def test_the_contrast_of_features_moves_the_features_alone(targets):
    features, logits = embeddings().requires_grad_(), tensors()[0].requires_grad_()
    objective = CompositeLoss(MethodConfig(**(OFF | {"beta": 1.0}), contrast="features"), 0.1)
    terms = objective(logits, None, None, targets, 0.0, embeddings=features)
    terms.loss.backward()
    assert features.grad.abs().max() > 0
    plain = tensors()[0].requires_grad_()
    CompositeLoss(MethodConfig(**OFF), 0.1)(plain, None, None, targets, 0.0).loss.backward()
    torch.testing.assert_close(logits.grad, plain.grad)


def test_a_contrast_of_features_without_features_is_a_fault_of_the_caller(targets):
    with pytest.raises(AssertionError, match="embeddings"):
        CompositeLoss(MethodConfig(contrast="features"), 0.1)(*tensors(), targets, 0.0)


@pytest.mark.parametrize(
    ("on", "names"),
    [
        ({}, {"ce"}),
        ({"alpha": 0.5}, {"ce", "rce"}),
        ({"beta": 0.5}, {"ce", "cr"}),
        ({"gamma": 0.5, "rampup_epochs": 0}, {"ce", "mt"}),
        ({"aux_weight": 0.5}, {"ce", "aux_ce"}),
    ],
)
def test_a_term_of_weight_zero_is_neither_in_the_parts_nor_in_the_loss(on, names, targets):
    terms = CompositeLoss(MethodConfig(**(OFF | on)), 0.1)(*tensors(), targets, 0.0)
    assert set(terms.parts) == names | {"loss"}
    weights = {"ce": 1.0} | dict.fromkeys(names - {"ce"}, 0.5)
    assert terms.loss.item() == pytest.approx(sum(w * float(terms.parts[n]) for n, w in weights.items()), rel=1e-6)


def test_a_single_view_with_unmixed_labels_is_plain_cross_entropy():
    labels = torch.tensor([0, 1, 2, 3, 0])
    targets = SoftTargets(labels[:, None], torch.ones(BATCH, 1), CLASSES)
    logits = tensors(views=1)[0]
    terms = CompositeLoss(MethodConfig(**OFF, views=1), 0.1)(logits, None, None, targets, 0.0)
    torch.testing.assert_close(terms.loss, torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.1))


def test_positives_are_found_before_label_smoothing(targets):
    method = MethodConfig(delta=0.05)
    plain, smoothed = (CompositeLoss(method, eps)(*tensors(), targets, 0.0).parts["cr"] for eps in (0.0, 0.6))
    torch.testing.assert_close(plain, smoothed)


def test_gradient_reaches_both_heads_and_never_the_teacher(targets):
    logits, aux, teacher = (t.requires_grad_() for t in tensors())
    CompositeLoss(MethodConfig(), 0.1)(logits, aux, teacher, targets, 1.0).loss.backward()
    assert logits.grad.abs().max() > 0
    assert aux.grad.abs().max() > 0
    assert teacher.grad is None


def test_bfloat16_logits_are_computed_on_in_float32(targets):
    rounded = [t.bfloat16() for t in tensors()]
    found = CompositeLoss(MethodConfig(), 0.1)(*rounded, targets, 1.0)
    exact = CompositeLoss(MethodConfig(), 0.1)(*(t.float() for t in rounded), targets, 1.0)
    original = CompositeLoss(MethodConfig(), 0.1)(*tensors(), targets, 1.0)
    assert found.loss.dtype == torch.float32
    assert found.loss == exact.loss
    assert found.loss.item() == pytest.approx(original.loss.item(), rel=0.01)
    in_float64 = expected_parts(MethodConfig(), 0.1, targets, 1.0, rounded)
    assert {name: float(part) for name, part in found.parts.items()} == pytest.approx(in_float64, rel=1e-5)


def test_within_autocast_the_objective_is_the_same(targets):
    outside = CompositeLoss(MethodConfig(), 0.1)(*tensors(), targets, 1.0)
    with torch.autocast("cpu", torch.bfloat16):
        within = CompositeLoss(MethodConfig(), 0.1)(*tensors(), targets, 1.0)
    assert within.parts == outside.parts


def test_float64_logits_are_computed_on_in_float64(targets):
    found = CompositeLoss(MethodConfig(), 0.1)(*(t.double() for t in tensors()), targets, 1.0)
    expected = expected_parts(MethodConfig(), 0.1, targets, 1.0)
    assert {name: float(part) for name, part in found.parts.items()} == pytest.approx(expected, rel=1e-7)


def test_the_gradient_of_the_whole_is_that_of_finite_differences(targets):
    inputs = [t.double().requires_grad_() for t in (*tensors(), embeddings())]
    for contrast in ("probs", "features"):
        objective = CompositeLoss(MethodConfig(contrast=contrast), 0.1)

        def loss(logits, aux, features, objective=objective):
            return objective(logits, aux, inputs[2].detach(), targets, 1.0, embeddings=features).loss

        assert torch.autograd.gradcheck(loss, (inputs[0], inputs[1], inputs[3]))


@pytest.mark.parametrize(
    ("epochs_done", "rampup_epochs", "expected"),
    [(0, 5, 0.0067379), (2.5, 5, 0.2865048), (4, 5, 0.8187308), (5, 5, 1.0), (9, 5, 1.0), (0, 0, 1.0)],
)
def test_the_ramp_up_rises_as_its_formula(epochs_done, rampup_epochs, expected):
    assert rampup(epochs_done, rampup_epochs) == pytest.approx(expected, rel=1e-5)


def test_dense_targets_are_smoothed_by_a_share_of_eps_for_every_class(targets):
    dense = targets.dense(0.1)
    torch.testing.assert_close(dense.sum(1), torch.ones(BATCH))
    # 0.9 * 0.7 + 0.1 / 4, 0.9 * 0.3 + 0.1 / 4, 0.1 / 4; the third image is mixed with one of its own class.
    torch.testing.assert_close(dense[0], torch.tensor([0.655, 0.295, 0.025, 0.025]))
    torch.testing.assert_close(dense[2], torch.tensor([0.025, 0.025, 0.925, 0.025]))
