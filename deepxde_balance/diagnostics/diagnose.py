"""`diagnose`: whether a model's loss terms are balanced, before it is trained."""

from __future__ import annotations

from dataclasses import dataclass

import deepxde as dde
import numpy as np

from ..model import Model
from ..terms.groups import LossGroups, TermGroups
from ..terms.term import REFERENCE
from ..weightings.group_gradients import GroupGradients
from .measures import Measures, measure, rounded
from .observation import Observer, current_batch, training_step

#: Gradient norms within this factor of each other are called balanced: Adam's first steps then
#: lower all losses. The number is a convention.
BALANCED_WITHIN = 10.0

#: Gradient norms beyond this factor are called unbalanced: the weaker term then adds less than a
#: hundredth to the direction of the first steps. The number is a convention.
STARVED_BEYOND = 100.0


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """The balance of a model's K loss terms or groups; ``str`` gives a table with a verdict.

    Args:
        names: Names of the terms or groups, residuals first.
        points: Number of points of each; ``None`` where the data object does not tell.
        losses: The losses L_i, without weights and static factors, shape (K,).
        gradient_norms: The 2-norms of the gradients g_i of these losses with respect to the
            network's parameters, shape (K,).
        weights: The weights lambda_i, static factors included, shape (K,).
        ratios: ||lambda_i g_i|| divided by the norm of the reference's weighted gradient, shape
            (K,). The reference is the sum of all residuals.
        reference: The name of the reference: ``"residual"``, or ``names[0]`` where the data object
            does not tell which terms are residuals.
        verdict: Whether the terms are balanced, and what to try if not.
    """

    names: tuple[str, ...]
    points: tuple[int | None, ...]
    losses: np.ndarray
    gradient_norms: np.ndarray
    weights: np.ndarray
    ratios: np.ndarray
    reference: str
    verdict: str

    def __str__(self) -> str:
        columns = [
            ["term", *self.names],
            ["points", *("-" if n is None else str(n) for n in self.points)],
            ["loss", *_numbers(self.losses)],
            ["gradient norm", *_numbers(self.gradient_norms)],
            ["weight", *_numbers(self.weights)],
            [f"ratio to {self.reference}", *_numbers(self.ratios)],
        ]
        if np.all(self.weights == 1):
            del columns[4]
        widths = [max(map(len, column)) for column in columns]
        lines = [
            "  ".join(
                cell.rjust(width) if i else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
            )
            for cells in zip(*columns, strict=True)
        ]
        return "\n".join([*lines, "", self.verdict])

    def __repr__(self) -> str:
        return f"<Diagnosis of {', '.join(self.names)}>"


def diagnose(
    model: dde.Model, loss_groups: LossGroups | None = None, verbose: int = 1
) -> Diagnosis:
    """Evaluates a model's losses and gradients once, and says whether they are balanced.

    The model does not change.

    Args:
        model: A compiled :class:`~deepxde_balance.Model` or stock ``dde.Model``, before training
            or after.
        loss_groups: Which terms to add up, see :meth:`deepxde_balance.Model.compile`. By default
            the strategy's groups; but every term by itself in a stock model, and in a model that
            is compiled without a strategy and without `loss_groups`.
        verbose: 1 prints the table, 0 does not.

    Returns:
        The losses, gradient norms, weights and ratios, with a verdict.

    Raises:
        ValueError: If the model is not compiled, a condition has no points, or the groups don't
            fit the conditions.

    Example:
        >>> import deepxde_balance as ddb
        >>> model = ddb.problems.get("harmonic").model("equal", verbose=0)
        >>> diagnosis = ddb.diagnose(model, verbose=0)
        >>> diagnosis.names, diagnosis.points
        (('pde', 'ic'), (100, 2))
    """
    if model.opt is None:
        raise ValueError("The model is not compiled yet: compile it, then diagnose it.")
    observer = Observer(model, loss_groups)
    observation = observer()
    groups, measures = observer.groups, measure(observation)
    reference, rows = _reference(groups)
    weighted = observation.gradients.values * observation.weights.unsqueeze(1)
    reference_norm = GroupGradients(weighted[rows].sum(dim=0, keepdim=True)).norm(2).item()
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = measures.weighted_norms / reference_norm
    diagnosis = Diagnosis(
        measures.names,
        tuple(_number_of_points(model, groups, row) for row in groups.rows),
        measures.losses,
        measures.norms,
        measures.weights,
        ratios,
        reference,
        _verdict(measures, _advice(model, groups)),
    )
    if verbose > 0:
        print(diagnosis)
    return diagnosis


def _reference(groups: TermGroups) -> tuple[str, list[int]]:
    """The name of the reference, and its rows among those of `groups`."""
    if REFERENCE in groups.names:
        return "residual", [groups.names.index(REFERENCE)]
    if not groups.terms[0].name.startswith(REFERENCE):  # no term is known to be a residual
        return groups.names[0], [0]
    residual = [groups.terms[row[0]].condition is None for row in groups.rows]
    return "residual", [k for k, is_residual in enumerate(residual) if is_residual]


def _number_of_points(model: dde.Model, groups: TermGroups, row: tuple[int, ...]) -> int | None:
    """The number of points of a row's terms. All residuals have the same points."""
    data = model.data
    if not isinstance(data, dde.data.PDE) or not groups.terms[0].name.startswith(REFERENCE):
        return None
    conditions = [i for i, term in enumerate(groups.terms) if term.condition is not None]
    of_condition = dict(zip(conditions, data.num_bcs, strict=True))
    number: int = sum(of_condition.get(i, 0) for i in row)
    if any(i not in of_condition for i in row):
        number += len(current_batch(model).inputs) - sum(data.num_bcs)
    return number


def _verdict(measures: Measures, advice: str) -> str:
    names, norms = measures.names, measures.weighted_norms
    finite = np.isfinite(measures.losses) & np.isfinite(norms)
    sentences = []
    if not finite.all():
        wrong = [name for name, is_finite in zip(names, finite, strict=True) if not is_finite]
        sentences.append(
            f"Broken: the loss or gradient of {', '.join(wrong)} is not finite. Look for a "
            "division by 0, or the root or logarithm of a negative number."
        )
    for i in np.flatnonzero(finite & (norms == 0)):
        if measures.weights[i] == 0:
            sentences.append(f"{names[i]} has weight 0: it is not trained.")
        elif measures.losses[i] == 0:
            sentences.append(f"{names[i]} is met exactly already: its loss and gradient are 0.")
        else:
            sentences.append(
                f"{names[i]} can't be learned: its gradient is 0, no trainable parameter of the "
                "network changes it (frozen layers, or an output transform that fixes it)."
            )
    compared = np.flatnonzero(finite & (norms > 0))
    if len(compared) < 2:
        return " ".join([*sentences, "There are no two terms to balance."])
    weak = compared[norms[compared].argmin()]
    strong = compared[norms[compared].argmax()]
    factor = norms[strong] / norms[weak]
    smaller = f"{names[weak]}'s gradient is {rounded(factor)} times smaller than {names[strong]}'s"
    if factor <= BALANCED_WITHIN:
        sentences.append(
            f"Balanced: gradient norms within a factor of {BALANCED_WITHIN:g}. That may change in "
            "training: ddb.GradientMonitor shows it."
        )
    elif factor <= STARVED_BEYOND:
        sentences.append(f"Uneven: {smaller}. {advice}")
    else:
        sentences.append(f"Unbalanced: {smaller}: it will be learned last. {advice}")
    return " ".join(sentences)


def _advice(model: dde.Model, groups: TermGroups) -> str:
    """What to try against unequal gradients."""
    step = training_step(model)
    conditions = [term for term in groups.terms if term.condition is not None]
    if step is not None and step.weighting.adapted:
        return "These are its adapted weights: try a larger update_every or another strategy."
    if step is not None and step.weighting.dynamic:
        return "The model's strategy adapts the weights from the first iteration on."
    if not conditions:
        return "Try a list of numbers as loss_weights."
    strategy = "db-kurtosis" if len(conditions) > 1 else "dn"
    ours = isinstance(model, Model)
    argument = f'loss_weights="{strategy}"' if ours else f'callbacks=[LossWeighting("{strategy}")]'
    if len(conditions) > 1:
        return f"Try {argument}."
    return f"Try {argument}, or split_bc on {conditions[0].name} and then a db strategy."


def _numbers(values: np.ndarray) -> list[str]:
    return [f"{value:.3g}" for value in values]
