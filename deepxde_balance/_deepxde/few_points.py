"""A problem with a few of its points, on which losses can be compared at little cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import deepxde as dde
import numpy as np

from .batch import Batch, condition_spans
from .condition_parts import number_of_errors, part_of, rows_of_errors
from .plain_pde import why_not_plain
from .target_cache import new_caches

T = TypeVar("T")

#: Errors of each term, at most.
_FEW = 24


def at_few_points(
    data: dde.data.Data, batch: Batch, evaluate: Callable[[Batch], T], in_passes: bool
) -> T:
    """Evaluates losses where their values do not matter: at a few points, if that spares memory.

    Else at all points: a script's functions may remember the points of their first call.

    Args:
        data: The data object.
        batch: Its present points.
        evaluate: Evaluates the losses at a batch.
        in_passes: Whether the points are too many to be evaluated together.
    """
    if in_passes and why_not_plain(data) is None:
        try:
            with few_points(data, batch) as few:
                return evaluate(few)
        except Exception:  # a residual may need all points; any other error comes again
            dde.gradients.clear()
    return evaluate(batch)


@contextmanager
def few_points(problem: dde.data.PDE, batch: Batch) -> Iterator[Batch]:
    """Reduces a problem to a few of its points while the context lasts, and yields their batch.

    A condition of a class with an `error` of its own keeps all its points.

    Args:
        problem: The data object, whose losses are those of DeepXDE's ``PDE``.
        batch: Its present points.
    """
    rows, numbers, changes = [], [], []
    for condition, (beg, end) in zip(problem.bcs, condition_spans(problem), strict=True):
        number = number_of_errors(condition, end - beg)
        chosen = np.arange(beg, end)
        if number is not None and number > _FEW:
            chosen = chosen[rows_of_errors(condition, 0, _FEW, end - beg)]
            of_part = vars(part_of(condition, 0, _FEW))
            changes += [(condition, name, value) for name, value in of_part.items()]
        # DeepXDE's own cache must not learn the targets of an array that is soon deleted.
        changes += [(condition, name, cache) for name, cache in new_caches(condition).items()]
        rows.append(chosen)
        numbers.append(len(chosen))
    # The first residual points may all be on the boundary: take some of everywhere.
    residual = np.arange(sum(problem.num_bcs), len(batch.inputs))
    residual = residual[:: max(1, len(residual) // _FEW)][:_FEW]
    where = np.concatenate([*rows, residual])
    inputs = batch.inputs[where]
    auxiliary = None if batch.auxiliary_vars is None else batch.auxiliary_vars[where]
    few = Batch(inputs, None if batch.targets is None else batch.targets[where], auxiliary)
    of_conditions = inputs[: sum(numbers)]
    changes += [(problem, "num_bcs", numbers), (problem, "train_x_bc", of_conditions)]
    changes += [(problem, "train_x", inputs), (problem, "train_x_all", inputs[sum(numbers) :])]
    with _changed(changes):
        yield few


@contextmanager
def _changed(changes: list[tuple[Any, str, Any]]) -> Iterator[None]:
    """Sets attributes of objects while the context lasts."""
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in changes]
    try:
        for owner, name, value in changes:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)
