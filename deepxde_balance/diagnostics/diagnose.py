"""`diagnose`: whether a model's loss terms are balanced, and which strategy suits the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import deepxde as dde
import numpy as np

from .._deepxde.stock_model import StockModel
from ..gradients.choose import takes_passes
from ..terms.groups import LossGroups, TermGroups
from ..terms.term import REFERENCE
from ..training.hard_constraints import hard_constraints
from ..training.run import run_of
from ..weightings import StrategyName
from ..weightings.group_gradients import GroupGradients
from .findings import Findings
from .measures import measure
from .observation import Observer, current_batch
from .recommendation import recommend, strategy_groups


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """The balance of a model's K loss terms or groups; ``str`` gives a table with a verdict.

    Args:
        names: Names of the terms or groups, residuals first.
        points: Number of points of each; ``None`` where the data object does not tell.
        losses: The losses L_i, without weights, with the factors of the strategy's `scale`, shape
            (K,).
        gradient_norms: The 2-norms of the gradients g_i of these losses with respect to the
            network's parameters, shape (K,).
        weights: The weights lambda_i, shape (K,).
        ratios: ||lambda_i g_i|| divided by the norm of the reference's weighted gradient, shape
            (K,). The reference is the sum of all residuals.
        reference: The name of the reference: ``"residual"``, or ``names[0]`` where the data object
            does not tell which terms are residuals.
        verdict: What was found, a line for each finding, and last the recommendation.
        recommended: The strategy to train the fresh model with, as `loss_weights` takes it:
            ``"auto"``; or, where that can't be used, ``"capu"`` or ``"equal"``.
        scale: Factors on the losses of terms in other units, by name, that the recommended
            strategy needs; as a rule there are none. See `scale` of
            :class:`~deepxde_balance.weightings.base.Weighting`.

    Example:
        >>> import deepxde_balance as ddb
        >>> diagnosis = ddb.diagnose(ddb.problems.get("harmonic").model("equal", verbose=0))
        >>> diagnosis.reference, diagnosis.scale
        ('residual', {})
    """

    names: tuple[str, ...]
    points: tuple[int | None, ...]
    losses: np.ndarray
    gradient_norms: np.ndarray
    weights: np.ndarray
    ratios: np.ndarray
    reference: str
    verdict: str
    recommended: StrategyName = "equal"
    scale: Mapping[str, float] = field(default_factory=dict)

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

    __repr__ = __str__  # what an interactive session shows


def diagnose(
    model: dde.Model, loss_groups: LossGroups | None = None, verbose: int = 0
) -> Diagnosis:
    """Evaluates a model's losses and gradients once, and says which strategy suits it.

    The verdict says whether gradients are balanced before training, which side is small, and what
    is met already, has few points or is in other units. The model does not change.

    Args:
        model: A compiled :class:`~deepxde_balance.Model` or stock ``dde.Model``, before training
            or after.
        loss_groups: Which terms to add up, see :meth:`deepxde_balance.Model.compile`. By default
            the strategy's groups; but every term by itself in a stock model, and in a model that
            is compiled without a strategy and without `loss_groups`.
        verbose: 1 prints the diagnosis, 0 does not.

    Returns:
        The losses, gradient norms, weights and ratios, with a verdict and a recommendation.
        ``print`` shows it as a table; so do a notebook and an interactive session.

    Raises:
        TypeError: If `model` is no model.
        ValueError: If the model is not compiled, a condition has no points, or the groups don't
            fit the conditions.

    Example:
        >>> import deepxde_balance as ddb
        >>> model = ddb.problems.get("harmonic").model("equal", verbose=0)
        >>> diagnosis = ddb.diagnose(model)
        >>> diagnosis.names, diagnosis.points
        (('pde', 'ic'), (100, 2))
        >>> diagnosis.recommended
        'auto'
    """
    if not isinstance(model, StockModel):
        raise TypeError(f"model={model!r} is not allowed: give a ddb.Model or dde.Model.")
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
    points = tuple(_number_of_points(model, groups, row) for row in groups.rows)
    in_passes = takes_passes(run_of(model).engine_asked, model.data, model.net)
    hard = {} if in_passes else hard_constraints(model, groups)
    findings = Findings(
        measures,
        ratios,
        points,
        tuple(rows),
        tuple(tuple(groups.terms[i].name for i in row) for row in groups.rows),
        observer.term_traces(),
        residual_known=reference == "residual",
        present=observer.present_factors(),
        hard={groups.terms[i].name: size for i, size in hard.items()},
    )
    weighed = strategy_groups(model, groups, loss_groups).without(hard)
    advice = recommend(model, weighed, findings)
    sentences = findings.sentences()
    if findings.finite.all():
        sentences.append(advice.text)
    diagnosis = Diagnosis(
        measures.names,
        points,
        measures.losses,
        measures.norms,
        measures.weights,
        ratios,
        reference,
        "\n".join(sentences),
        advice.strategy,
        advice.scale,
    )
    if verbose > 0:
        print(diagnosis)
    return diagnosis


def _reference(groups: TermGroups) -> tuple[str, list[int]]:
    """The name of the reference, and its rows among those of `groups`."""
    if REFERENCE in groups.names:
        return "residual", [groups.names.index(REFERENCE)]
    if not groups.terms[0].is_residual:  # no term is known to be a residual
        return groups.names[0], [0]
    residual = [groups.terms[row[0]].condition is None for row in groups.rows]
    return "residual", [k for k, is_residual in enumerate(residual) if is_residual]


def _number_of_points(model: dde.Model, groups: TermGroups, row: tuple[int, ...]) -> int | None:
    """The number of points of a row's terms. All residuals have the same points.

    The batch of an integral or fractional problem has more points than its residual.
    """
    data = model.data
    if not isinstance(data, dde.data.PDE) or not groups.terms[0].is_residual:
        return None
    if data.num_bcs is None:  # of a class with a `train_next_batch` of its own
        return None
    conditions = [i for i, term in enumerate(groups.terms) if term.condition is not None]
    of_condition = dict(zip(conditions, data.num_bcs, strict=True))
    number: int = sum(of_condition.get(i, 0) for i in row)
    if any(i not in of_condition for i in row):
        if type(data).train_next_batch is not dde.data.PDE.train_next_batch:
            return None
        number += len(current_batch(model).inputs) - sum(data.num_bcs)
    return number


def _numbers(values: np.ndarray) -> list[str]:
    return [f"{value:.3g}" for value in values]
