"""The points and target values that a script gives to conditions, which belong together."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

from .._deepxde.batch import problem_of
from .._deepxde.condition_parts import batch_size
from ..terms.term import condition_name

#: The conditions at given points.
_GIVEN = (dde.icbc.PointSetBC, dde.icbc.PointSetOperatorBC)

#: For each condition its points, its values and the number of points in a mini-batch; ``None`` for
#: a condition whose points are sampled.
ConditionData = Sequence[Mapping[str, Any] | None]


def capture(data: dde.data.Data) -> ConditionData:
    """The points, values and batch sizes of the conditions at given points.

    The values are ``None`` where they are trained: they are then external variables.

    Args:
        data: The data object.
    """
    problem = problem_of(data)
    return [] if problem is None else [_of(condition) for condition in problem.bcs]


def put_back(data: dde.data.Data, saved: ConditionData) -> None:
    """Gives the conditions the points and values that :func:`capture` returned.

    Args:
        data: The data object.
        saved: Points and values of the same numbers, see :func:`check`.
    """
    if not _points_are_put_back(data):
        return
    problem = problem_of(data)
    conditions = [] if problem is None else problem.bcs
    for condition, own, one in zip(conditions, capture(data), saved, strict=True):
        if own is None or one is None or not _differ(own, one):
            continue
        condition.points = one["points"].astype(own["points"].dtype, copy=False)
        if own["values"] is not None and one["values"] is not None:
            condition.values = one["values"].to(own["values"])


def check(data: dde.data.Data, saved: ConditionData) -> str | None:
    """Describes why points and values can't be put back; ``None`` if they can.

    Warns where they are others than the conditions' own.

    Args:
        data: The data object.
        saved: What :func:`capture` returned for another one.
    """
    problem, own = problem_of(data), capture(data)
    if len(own) != len(saved):
        return f"it has {len(saved)} IC/BC conditions, the model {len(own)}."
    differing = []
    for i, (mine, one) in enumerate(zip(own, saved, strict=True)):
        if problem is None or (mine is None and one is None):
            continue
        name = condition_name(problem, i)
        if mine is None or one is None:
            whose = ("its", "the model's") if mine is None else ("the model's", "its")
            return f"{whose[0]} condition {name} has given points, {whose[1]} has not."
        numbers = [len(one["points"]), len(mine["points"])]
        if numbers[0] != numbers[1]:
            return f"its condition {name} has {numbers[0]} points, the model's {numbers[1]}."
        batches = [one["batch_size"], mine["batch_size"]]
        if batches[0] != batches[1]:
            return f"its condition {name} has batch_size={batches[0]}, the model's {batches[1]}."
        shapes = [_shapes(one), _shapes(mine)]
        if shapes[0] != shapes[1]:
            return (
                f"its condition {name} has points and values of the shapes {shapes[0]}, the "
                f"model's of {shapes[1]}."
            )
        if _differ(mine, one):
            differing.append(name)
    if differing:
        put = (
            "replace the model's"
            if _points_are_put_back(data)
            else f"are not put back, as those of a {type(data).__name__} are not"
        )
        _warn(
            f"The checkpoint's points or values of {', '.join(differing)} are not the model's, "
            f"and {put}. For the same data, set the random seed before they are drawn, or read "
            "them from a file."
        )
    return None


def check_without(data: dde.data.Data, state: Mapping[str, Any]) -> str | None:
    """As :func:`check`, for a checkpoint of format 4, which has batches of points and no values.

    Args:
        data: The data object.
        state: The part of the checkpoint that describes the run, in NumPy arrays.
    """
    problem, own = problem_of(data), capture(data)
    if problem is None or not any(own):
        return None
    names = [condition_name(problem, i) for i, one in enumerate(own) if one is not None]
    points = state["points"][-1]  # the last owner of points is the problem
    numbers = [] if points is None else points["num_bcs"]
    if len(numbers) != len(own):
        return f"it has {len(numbers)} IC/BC conditions, the model {len(own)}."
    chosen = iter(state["chosen"])
    beg = 0
    for i, (condition, number) in enumerate(zip(problem.bcs, numbers, strict=True)):
        batch, beg = points["train_x_bc"][beg : beg + number], beg + number
        at = next(chosen, slice(None)) if hasattr(condition, "batch_indices") else slice(None)
        if own[i] is None or not _points_are_put_back(data):
            continue
        if not _has(condition.points, at, batch):
            return (
                f"its points of {condition_name(problem, i)} are not the model's, and the values "
                "at them are not in a checkpoint of format 4. Give the model the saved run's data."
            )
    _warn(
        f"A checkpoint of format 4 does not have the values of {', '.join(names)}: the model's are "
        "used, which must be those of the saved run."
    )
    return None


def _of(condition: Any) -> dict[str, Any] | None:
    if not isinstance(condition, _GIVEN):
        return None
    values = torch.as_tensor(condition.values)
    return {
        "points": np.asarray(condition.points),
        "values": None if values.requires_grad else values,
        "batch_size": batch_size(condition),
    }


def _points_are_put_back(data: dde.data.Data) -> bool:
    """Whether a checkpoint's training points are put back, to which the values belong."""
    return not isinstance(data, dde.data.FPDE)


def _has(points: np.ndarray, at: Any, batch: np.ndarray) -> bool:
    """Whether a batch is of these of the points."""
    if not isinstance(at, slice) and np.max(at, initial=-1) >= len(points):
        return False
    return np.array_equal(points[at], batch)


def _shapes(data: Mapping[str, Any]) -> tuple[tuple[int, ...], ...]:
    given = [data["points"], data["values"]]
    return tuple(tuple(array.shape) for array in given if array is not None)


def _differ(own: Mapping[str, Any], saved: Mapping[str, Any]) -> bool:
    values: list[Tensor | None] = [own["values"], saved["values"]]
    if not _equal(own["points"], saved["points"]):
        return True
    if values[0] is None or values[1] is None:
        return False
    return not _equal(values[0].cpu().numpy(), values[1].cpu().numpy(), equal_nan=True)


def _equal(one: np.ndarray, other: np.ndarray, equal_nan: bool = False) -> bool:
    """Whether arrays are equal, in the lower of their precisions."""
    lower = min(one.dtype, other.dtype, key=lambda dtype: dtype.itemsize)
    return np.array_equal(one.astype(lower), other.astype(lower), equal_nan=equal_nan)


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=7)  # at the call of `restore`
