"""Test points that follow the conditions' points."""

from __future__ import annotations

import deepxde as dde
import numpy as np


class TestPoints:
    """Samples a problem's test points anew when the conditions' points have changed.

    DeepXDE evaluates the conditions' test losses at the test points, but with the targets of the
    training points. After resampling, the two belong to different points (DeepXDE issue 2073).

    Args:
        problem: The data object.
    """

    __test__ = False  # pytest would collect the class by its name

    def __init__(self, problem: dde.data.PDE):
        self.problem = problem
        self._sampled: np.ndarray | None = None
        self.are_sampled()

    def are_sampled(self) -> bool:
        """Whether DeepXDE sampled the present test points, and no script has replaced them.

        DeepXDE's test points begin with the conditions' training points.
        """
        points, conditions = self.problem.test_x, self.problem.train_x_bc
        if points is not None and np.array_equal(points[: len(conditions)], conditions):
            self._sampled = points
        return points is self._sampled

    def mark_as_sampled(self) -> None:
        """Declares that DeepXDE sampled the present test points, as in a run now restored."""
        self._sampled = self.problem.test_x

    def refresh(self) -> bool:
        """Samples new test points if the conditions' points have changed.

        Test points that a script has set stay as they are.

        Returns:
            Whether new test points were sampled.
        """
        problem = self.problem
        if problem.test_x is None or not self.are_sampled():
            return False
        conditions = problem.train_x_bc
        if np.array_equal(problem.test_x[: len(conditions)], conditions):
            return False
        problem.test_x = problem.test_y = problem.test_aux_vars = None
        problem.test()
        self.mark_as_sampled()
        return True
