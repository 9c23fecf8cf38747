"""The loss terms of a problem: their names and conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import deepxde as dde
import numpy as np

from .._deepxde.batch import condition_spans, problem_of

#: The name of a single residual term, and of the group that all other groups are compared with.
REFERENCE = "pde"

#: The key of `loss_groups` that makes conditions the reference where there are no residuals.
CONDITIONS_AS_REFERENCE = "reference"

#: The key of `loss_groups` that lists terms without a weight.
UNWEIGHTED = "unweighted"

#: Names that a residual can't be given.
RESERVED = (REFERENCE, CONDITIONS_AS_REFERENCE, UNWEIGHTED)

#: Names of residuals, each with its position.
TermNames = Mapping[str, int]


@dataclass(frozen=True)
class Term:
    """One entry of DeepXDE's list of losses.

    Args:
        name: ``"pde"``, or ``"pde0"``, ``"pde1"`` ... with several residuals, or the name that a
            user gave to a residual; a condition's kind and its position among the IC/BC objects:
            ``"bc0"``, ``"ic1"``, ``"data2"``.
        condition: The IC/BC object, ``None`` for a residual.
        untold: Whether the data object does not tell what the term is: then there is no condition,
            but the term need not be a residual.
    """

    name: str
    condition: Any = None
    untold: bool = False

    @property
    def is_residual(self) -> bool:
        """Whether the term is known to be a PDE residual."""
        return self.condition is None and not self.untold


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
        *(Term(name, untold=problem is None) for name in names),
        *(Term(condition_name(problem, i), condition) for i, condition in enumerate(conditions)),
    )


def rename(terms: Sequence[Term], term_names: TermNames | None) -> tuple[Term, ...]:
    """Gives residuals names of their own.

    Args:
        terms: The loss terms, residuals first.
        term_names: A mapping from names to positions of residuals; the others keep their names.

    Raises:
        TypeError: If it is no mapping from texts to integers.
        ValueError: If there is no such residual, one has two names, or a name is reserved or that
            of another term.
    """
    terms = tuple(terms)
    if term_names is None:
        return terms
    if not isinstance(term_names, Mapping) or not all(
        isinstance(name, str)
        and isinstance(position, (int, np.integer))
        and not isinstance(position, bool)
        for name, position in term_names.items()
    ):
        raise TypeError(
            f"term_names={term_names!r} is not allowed: give a mapping from names to positions of "
            'residuals, e.g. {"momentum": 0, "continuity": 1}.'
        )
    residuals = [i for i, term in enumerate(terms) if term.is_residual]
    names: dict[int, str] = {}
    for name, position in term_names.items():
        if position not in residuals:
            number = len(residuals)
            there_are = f"there are {number}" if number > 1 else f"there is {number or 'none'}"
            raise ValueError(
                f"term_names[{name!r}] is position {position} of the residuals, of which "
                f"{there_are}."
            )
        if position in names:
            raise ValueError(
                f"term_names gives the residual {position} two names: {names[position]!r} and "
                f"{name!r}."
            )
        if not name or name in RESERVED:
            raise ValueError(
                f"term_names: {name!r} is not allowed; {', '.join(map(repr, RESERVED))} mean "
                "something else."
            )
        names[int(position)] = name
    renamed = tuple(replace(term, name=names.get(i, term.name)) for i, term in enumerate(terms))
    all_names = [term.name for term in renamed]
    for name in term_names:
        if all_names.count(name) > 1:
            raise ValueError(
                f"term_names: {name!r} is the name of another loss term; the terms are "
                f"{', '.join(term.name for term in terms)}."
            )
    return renamed


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
    for term in terms_without_points(data, terms):
        raise ValueError(
            f"The condition {term.name} ({type(term.condition).__name__}) has no points: its "
            "loss would be nan. Sample more boundary or initial points, or leave it out."
        )


def terms_without_points(data: dde.data.Data, terms: Sequence[Term]) -> list[Term]:
    """The conditions among the terms that have no points now."""
    problem = problem_of(data)
    conditions = [term for term in terms if term.condition is not None]
    if problem is None or problem.num_bcs is None or not conditions:
        return []
    numbers = zip(conditions, problem.num_bcs, strict=True)
    return [term for term, number in numbers if number == 0]


def check_length(what: str, values: Sequence[float], terms: Sequence[Term]) -> None:
    """Raises a ValueError unless there is one value per term."""
    if len(values) != len(terms):
        raise ValueError(
            f"{what} has {len(values)} numbers, but there are {len(terms)} loss terms: "
            f"{', '.join(term.name for term in terms)}."
        )
