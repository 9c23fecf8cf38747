"""Parts of a condition: which of its points and values belong to some of its errors."""

from __future__ import annotations

import copy
from typing import Any

import deepxde as dde
import numpy as np

#: One error for each point.
_OF_POINTS = (
    dde.icbc.DirichletBC,
    dde.icbc.NeumannBC,
    dde.icbc.RobinBC,
    dde.icbc.IC,
    dde.icbc.OperatorBC,
)

#: One error for each point, with a list of values.
_WITH_VALUES = (dde.icbc.PointSetBC, dde.icbc.PointSetOperatorBC)

#: One error for two points, that of the first half and that of the second.
_OF_PAIRS = (dde.icbc.PeriodicBC, dde.icbc.Interface2DBC)


def _is_any(condition: Any, kinds: tuple[Any, ...]) -> bool:
    """Whether a condition computes its errors as one of some kinds."""
    return any(isinstance(condition, k) and type(condition).error is k.error for k in kinds)


def number_of_errors(condition: Any, number: int) -> int | None:
    """The number of a condition's errors; ``None`` if its class has an `error` of its own.

    Such a condition has no parts.

    Args:
        condition: The condition, or ``None`` for a residual.
        number: The number of its points.
    """
    if condition is None or _is_any(condition, (*_OF_POINTS, *_WITH_VALUES)):
        return number
    return number // 2 if _is_any(condition, _OF_PAIRS) else None


def rows_of_errors(condition: Any, first: int, last: int, number: int) -> np.ndarray | slice:
    """The rows of the points that belong to some of the errors.

    Args:
        condition: The condition, or ``None`` for a residual.
        first: The first error.
        last: The last error + 1.
        number: The number of all points.
    """
    if not _is_any(condition, _OF_PAIRS):
        return slice(first, last)
    left = np.arange(first, last)
    return np.concatenate([left, number // 2 + left])


def batch_size(condition: Any) -> int | None:
    """The size of the mini-batches of a PointSetBC or PointSetOperatorBC; ``None`` without.

    DeepXDE 1.14 has no mini-batches for a PointSetOperatorBC.
    """
    return getattr(condition, "batch_size", None)


def part_of(condition: Any, first: int, last: int) -> Any:
    """A condition whose values are those of some of the errors; the same if it has no values.

    Args:
        condition: The condition.
        first: The first error.
        last: The last error + 1.
    """
    if not _is_any(condition, _WITH_VALUES):
        return condition
    part = copy.copy(condition)
    if batch_size(condition) is not None:
        part.batch_indices = condition.batch_indices[first:last]
    elif condition.values.dim() > 0 and len(condition.values) > 1:  # not one value for all
        part.values = condition.values[first:last]
    return part
