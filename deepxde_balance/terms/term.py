"""The loss terms of a problem: their names and conditions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import deepxde as dde
import numpy as np

from .._deepxde.batch import condition_spans, problem_of

#: The name of a single residual term, and of the group that all other groups are compared with.
REFERENCE = "pde"


@dataclass(frozen=True)
class Term:
    """One entry of DeepXDE's list of losses.

    Args:
        name: ``"pde"``, or ``"pde0"``, ``"pde1"`` ... with several residuals; a condition's kind
            and its position among the IC/BC objects: ``"bc0"``, ``"ic1"``, ``"data2"``.
        condition: The IC/BC object, ``None`` for a residual.
    """

    name: str
    condition: Any = None


def name_terms(
    data: dde.data.Data, num_losses: int, num_residuals: int | None = None
) -> tuple[Term, ...]:
    """Returns the loss terms of a data object, in the order of DeepXDE's losses.

    A data class may compute losses of its own, other than one for each residual and one for each
    condition. Its terms are named ``"loss0"``, ``"loss1"``, ... and have no condition.

    Args:
        data: The data object.
        num_losses: The number of its losses.
        num_residuals: The number of residuals of its PDE; ``None`` if unknown.
    """
    problem = problem_of(data)
    if problem is not None and num_residuals is not None:
        problem = problem if num_residuals + len(problem.bcs) == num_losses else None
    conditions = [] if problem is None else list(problem.bcs)
    prefix = "loss" if problem is None else REFERENCE
    num_residuals = num_losses - len(conditions)
    names = [prefix] if num_residuals == 1 else [f"{prefix}{i}" for i in range(num_residuals)]
    return (
        *(Term(name) for name in names),
        *(Term(condition_name(problem, i), condition) for i, condition in enumerate(conditions)),
    )


def condition_name(problem: dde.data.PDE, position: int) -> str:
    """The name of the condition at `position` among a problem's IC/BC objects."""
    return f"{_kind(problem, position)}{position}"


def _kind(problem: dde.data.PDE, position: int) -> str:
    """``"ic"``, ``"data"`` or ``"bc"`` for the condition at `position`."""
    condition = problem.bcs[position]
    if isinstance(condition, dde.icbc.IC):
        return "ic"
    if hasattr(problem.geom, "on_initial"):
        beg, end = condition_spans(problem)[position]
        points = problem.train_x_bc[beg:end]
        if len(points) and np.all(problem.geom.on_initial(points)):
            return "ic"
    if isinstance(condition, (dde.icbc.PointSetBC, dde.icbc.PointSetOperatorBC)):
        return "data"
    return "bc"


def check_points(data: dde.data.Data, terms: Sequence[Term]) -> None:
    """Refuses conditions without points: their loss, a mean over no points, would be nan.

    Raises:
        ValueError: If a condition has no points; the message names it.
    """
    problem = problem_of(data)
    conditions = [term for term in terms if term.condition is not None]
    if problem is None or not conditions:
        return
    for term, number in zip(conditions, problem.num_bcs, strict=True):
        if number == 0:
            raise ValueError(
                f"The condition {term.name} ({type(term.condition).__name__}) has no points: its "
                "loss would be nan. Sample more boundary or initial points, or leave it out."
            )


def check_length(what: str, values: Sequence[float], terms: Sequence[Term]) -> None:
    """Raises a ValueError unless there is one value per term."""
    if len(values) != len(terms):
        raise ValueError(
            f"{what} has {len(values)} numbers, but there are {len(terms)} loss terms: "
            f"{', '.join(term.name for term in terms)}."
        )
