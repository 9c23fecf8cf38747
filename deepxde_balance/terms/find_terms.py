"""Finds out which loss terms a problem has, before training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import deepxde as dde

from .._deepxde.batch import Batch, problem_of
from .._deepxde.no_trace import no_trace
from .._deepxde.sampled_points import kept_batches
from .._deepxde.stock_losses import deepxde_losses
from .term import Term, check_points, name_terms


def find_terms(model: dde.Model) -> tuple[Term, ...]:
    """The loss terms of a model, from one evaluation of its losses that leaves no trace.

    Args:
        model: A compiled ``dde.Model``.

    Raises:
        ValueError: If a condition has no points.
    """
    with (
        no_trace(model.net),
        kept_batches(model.data),
        _counted_residuals(problem_of(model.data)) as counts,
    ):
        losses = deepxde_losses(model, Batch(*model.data.train_next_batch())).losses
    terms = name_terms(model.data, len(losses), counts[-1])
    check_points(model.data, terms)
    return terms


@contextmanager
def _counted_residuals(problem: dde.data.PDE | None) -> Iterator[list[int]]:
    """Notes how many residuals a problem's PDE gives while the context lasts; 0 before."""
    counts = [0]
    if problem is None or problem.pde is None:
        yield counts
        return
    pde = problem.pde

    @wraps(pde)  # DeepXDE looks at its signature
    def counted(*args: Any) -> Any:
        residuals = pde(*args)
        counts.append(len(residuals) if isinstance(residuals, (list, tuple)) else 1)
        return residuals

    problem.pde = counted
    try:
        yield counts
    finally:
        problem.pde = pde
