"""The points of one training iteration, and the problem that they are of."""

from __future__ import annotations

from typing import Any, NamedTuple

import deepxde as dde
import numpy as np


class Batch(NamedTuple):
    """What DeepXDE hands to a training step."""

    inputs: Any
    targets: Any = None
    auxiliary_vars: Any = None


class BatchSnapshot:
    """A batch as it was when it was seen.

    Args:
        batch: The batch, whose arrays may be changed in place later on.
    """

    def __init__(self, batch: Batch):
        self._original = batch
        #: The same in arrays of its own.
        self.batch = Batch(_copied(batch.inputs), batch.targets, _copied(batch.auxiliary_vars))

    def is_(self, batch: Batch) -> bool:
        """Whether a batch is the same arrays of points and auxiliary variables, unchanged."""
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
    """The data object that holds residuals and IC/BC objects, if there is one."""
    for holder in (data, getattr(data, "pde", None)):  # PDEOperator has its problem in `pde`
        if isinstance(holder, dde.data.PDE):
            return holder
    return None
