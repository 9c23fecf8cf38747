"""Finds the loss terms of a problem before training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import deepxde as dde

from .._deepxde.batch import Batch, problem_of
from .._deepxde.few_points import at_few_points
from .._deepxde.no_trace import no_trace
from .._deepxde.sampled_points import unchanged_samplers
from .._deepxde.stock_losses import DeepXDELosses, deepxde_losses
from .check_losses import check_called, check_residuals, checked_conditions
from .term import Term, check_points, name_terms


def find_terms(model: dde.Model, in_passes: bool = False) -> tuple[Term, ...]:
    """Returns the loss terms of a model.

    The losses are evaluated once. That leaves random states and the network as they were.

    Args:
        model: A compiled ``dde.Model``.
        in_passes: Whether the points are too many to be evaluated together; then a few are.

    Raises:
        TypeError: If a residual or the error of a condition is no tensor of real numbers.
        ValueError: If a condition has no points or can't be evaluated, or a residual has no rows.
    """
    with (
        no_trace(model.net),
        unchanged_samplers(model.data),
        counted_residuals(model.data) as counts,
    ):
        batch = Batch(*model.data.train_next_batch())
        losses = at_few_points(
            model.data, batch, lambda points: checked_losses(model, points).losses, in_passes
        )
    check_called(model.data, len(losses), called=len(counts) > 1)
    terms = name_terms(model.data, len(losses), counts[-1])
    check_points(model.data, terms)
    return terms


def checked_losses(model: dde.Model, batch: Batch) -> DeepXDELosses:
    """DeepXDE's losses at a batch, once the errors of the conditions are checked.

    The conditions are those that the problem has now, perhaps parts of a script's.
    """
    with checked_conditions(problem_of(model.data)):
        return deepxde_losses(model, batch)


@contextmanager
def counted_residuals(data: dde.data.Data) -> Iterator[list[int]]:
    """Yields a list whose last entry is the number of residuals of the PDE, once evaluated.

    It stays 0 for a problem without a PDE. The residuals are checked.
    """
    counts, problem = [0], problem_of(data)
    if problem is None or problem.pde is None:
        yield counts
        return
    pde = problem.pde

    @wraps(pde)  # DeepXDE reads the number of arguments
    def counted(*args: Any) -> Any:
        residuals = pde(*args)
        check_residuals(residuals, problem if problem is data else None)
        counts.append(len(residuals) if isinstance(residuals, (list, tuple)) else 1)
        return residuals

    problem.pde = counted
    try:
        yield counts
    finally:
        problem.pde = pde
