import numpy as np
import pytest
import reference
import torch

from raysearch.losses import mean_teacher

STUDENT, TEACHER = torch.tensor([[0.8, 0.2]]).log(), torch.tensor([[0.5, 0.5]]).log()


@pytest.mark.parametrize(
    ("direction", "expected"),
    [
        ("student_teacher", 0.1927449),  # 0.8 ln(0.8 / 0.5) + 0.2 ln(0.2 / 0.5)
        ("teacher_student", 0.2231436),  # 0.5 ln(0.5 / 0.8) + 0.5 ln(0.5 / 0.2)
    ],
)
def test_each_direction_is_its_kl_divergence(direction, expected):
    assert mean_teacher(STUDENT, TEACHER, direction).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("direction", ["student_teacher", "teacher_student"])
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_each_direction_agrees_with_loops_in_float64(direction, dtype, rtol):
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(6, 5)), rng.normal(size=(6, 5))
    p, q = reference.softmax(student), reference.softmax(teacher)
    expected = reference.kl(p, q) if direction == "student_teacher" else reference.kl(q, p)
    log_probs = [torch.tensor(logits).to(dtype).log_softmax(1) for logits in (student, teacher)]
    np.testing.assert_allclose(mean_teacher(*log_probs, direction), expected, rtol=rtol)


@pytest.mark.parametrize("direction", ["student_teacher", "teacher_student"])
def test_equal_networks_cost_nothing(direction):
    log_probs = torch.randn(4, 6, generator=torch.Generator().manual_seed(0)).log_softmax(1)
    torch.testing.assert_close(mean_teacher(log_probs, log_probs.clone(), direction), torch.zeros(4))


@pytest.mark.parametrize("direction", ["student_teacher", "teacher_student"])
def test_gradient_reaches_the_student_and_never_the_teacher(direction):
    student, teacher = torch.tensor([[1.0, 0.0]], requires_grad=True), torch.zeros(1, 2, requires_grad=True)
    mean_teacher(student.log_softmax(1), teacher.log_softmax(1), direction).sum().backward()
    assert student.grad.abs().min() > 0.1
    assert teacher.grad is None
