"""Test points that follow the conditions' points."""

from __future__ import annotations

import deepxde as dde
import numpy as np


class TestPoints:
    """Test points that follow the conditions' points.

    DeepXDE tests the conditions with the training points' targets, but leaves the test points as
    they were when the training points are resampled (its issue 2073).

    Args:
        problem: The data object.
    """

    __test__ = False  # no class of tests

    def __init__(self, problem: dde.data.PDE):
        self.problem = problem
        self._made: np.ndarray | None = None
        self.are_made()

    def are_made(self) -> bool:
        """Whether they are DeepXDE's, the conditions' points first, and not a script's own."""
        points, conditions = self.problem.test_x, self.problem.train_x_bc
        if points is not None and np.array_equal(points[: len(conditions)], conditions):
            self._made = points
        return points is self._made

    def adopt(self) -> None:
        """Takes the present ones to be DeepXDE's: a checkpoint of a run in which they were."""
        self._made = self.problem.test_x

    def refresh(self) -> bool:
        """Samples them anew if the conditions' points have changed since they were made.

        Returns:
            Whether they are new.
        """
        problem = self.problem
        if problem.test_x is None or not self.are_made():
            return False
        conditions = problem.train_x_bc
        if np.array_equal(problem.test_x[: len(conditions)], conditions):
            return False
        problem.test_x = problem.test_y = problem.test_aux_vars = None
        problem.test()
        self.adopt()
        return True
