"""Fits the number of steps of a training to its time limit."""

SHARE = 0.02
"""The pace is measured over this share of the limit, and a smaller change of the remaining steps is not made."""


class TimeLimit:
    """Says how many steps end within ``limit_s`` seconds, from the pace of the latest steps.

    A training that is slower than planned gets fewer steps. If the machine is fast again, it gets some of them back,
    but never more than planned: with enough time, the result does not depend on the machine.
    """

    def __init__(self, limit_s: float, evaluation_images: float) -> None:
        """``evaluation_images``: number of training images that take as long as the last evaluation, at most."""
        self.limit_s, self.evaluation_images = limit_s, evaluation_images
        self._mark: tuple[float, int] | None = None

    def count_steps(self, elapsed_s: float, step: int, images_per_step: int, steps: int, planned: int) -> int:
        """The new total number of steps. Equals ``steps``, the current total, if there is no reason for a change.

        ``elapsed_s``: seconds of training so far, with ``step`` steps done; ``planned``: total without a limit.
        """
        if self._mark is None:  # the first step is slower than the others
            self._mark = elapsed_s, step
            return steps
        seconds, count = elapsed_s - self._mark[0], step - self._mark[1]
        is_late = elapsed_s >= self.limit_s
        if not is_late and (count == 0 or seconds < SHARE * self.limit_s):
            return steps
        self._mark = elapsed_s, step
        step_s = seconds / max(1, count)
        left_s = self.limit_s - elapsed_s - self.evaluation_images * step_s / images_per_step
        fitting = min(planned, step + max(0, int(left_s / step_s))) if step_s > 0 else planned
        return fitting if abs(fitting - steps) > SHARE * (steps - step) else steps
