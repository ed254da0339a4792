"""The consistency term of the mean teacher. Tarvainen and Valpola 2017; AR, "Mean Teacher"."""

from torch import Tensor


def mean_teacher(student_log_probs: Tensor, teacher_log_probs: Tensor, direction: str) -> Tensor:
    """KL(student || teacher), or KL(teacher || student) with direction ``teacher_student``.

    Both [batch, classes], for the same inputs. Only the student gets a gradient. Returns [batch], in nats.
    """
    teacher_log_probs = teacher_log_probs.detach()
    if direction == "student_teacher":
        return (student_log_probs.exp() * (student_log_probs - teacher_log_probs)).sum(1)
    return (teacher_log_probs.exp() * (teacher_log_probs - student_log_probs)).sum(1)
