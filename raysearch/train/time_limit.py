"""Fits the number of steps of a training to its time limit."""

from collections import deque

EVERY, WINDOW = 0.02, 0.1
"""Shares of the limit: how often the steps are counted anew, and over how much time the pace is measured."""
LEAST_CHANGE = 0.03
"""Share of the remaining steps that a change must have."""


class TimeLimit:
    """Says how many steps end within ``limit_s`` seconds, from the pace of the latest steps.

    A training that is slower than planned gets fewer steps. If the machine is fast again, it gets some of them back,
    but never more than planned: with enough time, the result does not depend on the machine.
    """

    def __init__(self, limit_s: float, evaluation_images: float) -> None:
        """``evaluation_images``: number of training images that take as long as the last evaluation, at most."""
        self.limit_s, self.evaluation_images = limit_s, evaluation_images
        self._marks: deque[tuple[float, int]] = deque()
        """Seconds and steps at earlier counts"""

    def count_steps(self, elapsed_s: float, step: int, images_per_step: int, steps: int, planned: int) -> int:
        """The new total number of steps. Equals ``steps``, the current total, if there is no reason for a change.

        ``elapsed_s``: seconds of training so far, with ``step`` steps done; ``planned``: total without a limit.
        """
        if not self._marks:  # the first step is slower than the others
            self._marks.append((elapsed_s, step))
            return steps
        is_late = elapsed_s >= self.limit_s
        if not is_late and elapsed_s < self._marks[-1][0] + EVERY * self.limit_s:
            return steps
        while len(self._marks) > 1 and self._marks[1][0] <= elapsed_s - WINDOW * self.limit_s:
            self._marks.popleft()
        since_s, since_step = self._marks[0]
        self._marks.append((elapsed_s, step))
        step_s = (elapsed_s - since_s) / max(1, step - since_step)
        left_s = self.limit_s - elapsed_s - self.evaluation_images * step_s / images_per_step
        fitting = min(planned, step + max(0, int(left_s / step_s))) if step_s > 0 else planned
        return fitting if abs(fitting - steps) > LEAST_CHANGE * (steps - step) else steps
