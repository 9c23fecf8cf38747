"""The points of one training iteration, and which of them belong to which condition."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import deepxde as dde
import numpy as np


class Batch(NamedTuple):
    """The arguments that DeepXDE passes to a training step.

    Args:
        inputs: Points of shape (N, d), the conditions' points first; of another form where the data
            is no ``dde.data.PDE``.
        targets: Target values, if the data has any.
        auxiliary_vars: Auxiliary variables at the points, if there are any.
    """

    inputs: Any
    targets: Any = None
    auxiliary_vars: Any = None


class BatchSnapshot:
    """A copy of a batch that can tell whether another batch has the same points.

    Args:
        batch: The batch. Its arrays are copied, since a script may change them in place.
    """

    def __init__(self, batch: Batch):
        self._original = batch
        #: The copy.
        self.batch = Batch(_copied(batch.inputs), batch.targets, _copied(batch.auxiliary_vars))

    def is_(self, batch: Batch) -> bool:
        """Whether `batch` consists of the very arrays that were copied, with unchanged values."""
        return batch is self.batch or (
            batch.inputs is self._original.inputs
            and batch.auxiliary_vars is self._original.auxiliary_vars
            and _equal(batch.inputs, self.batch.inputs)
            and _equal(batch.auxiliary_vars, self.batch.auxiliary_vars)
        )


def _copied(array: Any) -> Any:
    return None if array is None else np.array(array)


def _equal(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    return np.array_equal(a, b) or np.array_equal(a, b, equal_nan=True)


def problem_of(data: dde.data.Data) -> dde.data.PDE | None:
    """The ``dde.data.PDE`` that holds the residuals and IC/BC objects; ``None`` without one."""
    for holder in (data, getattr(data, "pde", None)):  # a PDEOperator holds its problem in `pde`
        if isinstance(holder, dde.data.PDE):
            return holder
    return None


def condition_spans(problem: dde.data.PDE) -> list[tuple[int, int]]:
    """For each IC/BC object the first and last + 1 row of its points in a batch.

    The rows after those of the last condition are the residual's.
    """
    return list(itertools.pairwise(itertools.accumulate(problem.num_bcs, initial=0)))


def number_of_condition_points(problem: dde.data.PDE) -> int:
    """The number of a batch's rows that belong to conditions; the residual's come after them.

    A class with a `train_next_batch` of its own may leave DeepXDE's list of them ``None``.
    """
    return sum(problem.num_bcs or [])
