"""Looks at a model's loss terms: losses, gradients and weights by group, without training it."""

from __future__ import annotations

from typing import Any, NamedTuple

import deepxde as dde
import torch
from torch import Tensor

from .._deepxde.batch import Batch
from .._deepxde.no_trace import no_trace
from ..gradients.base import GradientEngine
from ..gradients.choose import choose_engine
from ..gradients.per_group import PerGroupEngine
from ..terms.find_terms import find_terms
from ..terms.groups import UNWEIGHTED, LossGroups, TermGroups, group_terms, ungrouped
from ..terms.term import Term
from ..training.step import TrainStep, autocast
from ..weightings import Equal
from ..weightings.group_gradients import GroupGradients


class Observation(NamedTuple):
    """What one evaluation of a model on its training points shows.

    Args:
        names: Names of the groups, the reference first; ``"unweighted"`` for the terms listed so.
        losses: The groups' losses, neither weighted nor scaled, shape (K,).
        gradients: Their gradients with respect to the network's parameters.
        weights: What the groups' losses are multiplied with now, static factors included, shape
            (K,). For a group of terms with different weights, the norm of its weighted gradient
            over that of its gradient. With a weight per point (SA), the mean of their squares.
    """

    names: tuple[str, ...]
    losses: Tensor
    gradients: GroupGradients
    weights: Tensor


def observe(model: dde.Model, loss_groups: LossGroups | None = None) -> Observation:
    """Evaluates the losses and gradients of a compiled model once; nothing in it changes.

    Args:
        model: A compiled model, ours or DeepXDE's.
        loss_groups: Which terms share a row, see :meth:`deepxde_balance.Model.compile`. By
            default the groups of the strategy at work; every term by itself in a stock model
            and with weight 1 for all.

    Raises:
        ValueError: If the groups don't fit the conditions.
    """
    return Observer(model, loss_groups)()


class _Plan(NamedTuple):
    """How the groups are evaluated.

    Args:
        groups: The groups to observe.
        pieces: For each of their rows the positions of its rows in the engine's groups: the
            terms that have one and the same weight.
        engine: Gives the pieces' gradients.
    """

    groups: TermGroups
    pieces: tuple[tuple[int, ...], ...]
    engine: GradientEngine

    @property
    def names(self) -> tuple[str, ...]:
        return self.groups.names + ((UNWEIGHTED,) if self.groups.unweighted else ())


class Observer:
    """:func:`observe`, again and again: what an evaluation needs is built once.

    Args:
        model: A compiled model.
        loss_groups: See :func:`observe`.
    """

    def __init__(self, model: dde.Model, loss_groups: LossGroups | None = None):
        self.model = model
        self.loss_groups = loss_groups
        self._plan: _Plan | None = None
        self._planned_for: tuple[Any, ...] = ()

    def __call__(self) -> Observation:
        net, batch = self.model.net, current_batch(self.model)
        auxiliary_vars = net.auxiliary_vars
        try:
            plan = self._current_plan()
            with no_trace(net), torch.enable_grad(), autocast():
                computed = plan.engine.gradients(batch)
        finally:
            net.auxiliary_vars = auxiliary_vars
        rows = plan.engine.groups.rows
        gradients = computed.of_network(len(rows))
        of_terms = self._term_weights().to(computed.losses)
        weights = torch.stack([of_terms[row[0]] for row in rows])
        losses = torch.stack([computed.losses[list(row)].sum() for row in plan.groups.rows])
        if len(plan.pieces) < len(rows):
            gradients, weights = _gathered(gradients, weights, plan.pieces)
        return Observation(plan.names, losses, gradients, weights)

    @property
    def groups(self) -> TermGroups:
        """The groups that are observed now."""
        return self._current_plan().groups

    def _current_plan(self) -> _Plan:
        weighted = weighted_groups(self.model)
        key = (self.model.opt, weighted, self._numbers())
        if self._plan is None or key != self._planned_for:
            self._plan, self._planned_for = self._make_plan(weighted), key
        return self._plan

    def _make_plan(self, weighted: tuple[TermGroups, tuple[float, ...]] | None) -> _Plan:
        terms = find_terms(self.model) if weighted is None else weighted[0].terms
        if self.loss_groups is not None:
            groups = group_terms(terms, self.loss_groups)
            filled = [k for k, members in enumerate(groups.members) if members]
            groups = TermGroups(
                terms,
                tuple(groups.names[k] for k in filled),
                tuple(groups.members[k] for k in filled),
                groups.unweighted,
            )
        else:
            groups = ungrouped(terms) if weighted is None else weighted[0]
        sources = self._sources(terms, weighted)
        rows: list[tuple[int, ...]] = []
        pieces = []
        for members in groups.rows:
            kinds = dict.fromkeys(sources[i] for i in members)
            pieces.append(tuple(range(len(rows), len(rows) + len(kinds))))
            rows += [tuple(i for i in members if sources[i] == kind) for kind in kinds]
        names = tuple(f"row {i}" for i in range(len(rows)))
        return _Plan(groups, tuple(pieces), self._engine(TermGroups(terms, names, tuple(rows))))

    def _sources(
        self, terms: tuple[Term, ...], weighted: tuple[TermGroups, tuple[float, ...]] | None
    ) -> list[Any]:
        """For each term what its weight comes from: equal for terms with one and the same."""
        if weighted is not None:
            groups, scale = weighted
            row_of = {i: number for number, row in enumerate(groups.rows) for i in row}
            return [(row_of[i], scale[i]) for i in range(len(terms))]
        return list(self._numbers() or [1.0] * len(terms))

    def _engine(self, rows: TermGroups) -> GradientEngine:
        """The engine of the training step if it has these rows, or one of the same kind."""
        step = training_step(self.model)
        ones = (1.0,) * len(rows.terms)
        if step is not None and step.engine.scale == ones and step.engine.groups.rows == rows.rows:
            return step.engine
        name = getattr(self.model, "gradient_engine", "per-group")
        if step is not None:
            name = step.engine.name
        if name == "per-group":
            # Also in a stock model, on DeepXDE's own arrays of points: it caches targets by their
            # ids, which ours must not leave behind there.
            return PerGroupEngine(self.model, rows, ones)
        return choose_engine(self.model, rows, ones)

    def _term_weights(self) -> Tensor:
        step = training_step(self.model)
        if step is not None:
            return step.term_weights().detach()
        assert self._plan is not None
        numbers = self._numbers() or [1.0] * len(self._plan.groups.terms)
        parameter: Tensor = next(self.model.net.parameters())
        return parameter.detach().new_tensor(numbers)

    def _numbers(self) -> tuple[float, ...] | None:
        """The list of numbers that the model was compiled with, if any."""
        numbers = self.model.loss_weights
        return None if numbers is None else tuple(float(number) for number in numbers)


def training_step(model: dde.Model) -> TrainStep | None:
    """Our training step, if it is one that trains the model now."""
    return model.train_step if isinstance(model.train_step, TrainStep) else None


def weighted_groups(model: dde.Model) -> tuple[TermGroups, tuple[float, ...]] | None:
    """The groups that the strategy at work weighs, and the terms' static factors.

    ``None`` in a stock model, and where all weights are 1 and no groups were asked for.
    """
    step = training_step(model)
    if step is None:
        return None
    groups, scale = step.engine.groups, step.engine.scale
    if isinstance(step.weighting, Equal) and groups == group_terms(groups.terms):
        return None
    return groups, scale


def current_batch(model: dde.Model) -> Batch:
    """The points that the model trains on now, without drawing any."""
    data, state = model.data, model.train_state
    # A PDE's losses read its own points, which callbacks may have resampled since the last step.
    own = isinstance(data, dde.data.PDE)
    if own and type(data).train_next_batch is dde.data.PDE.train_next_batch:
        return Batch(*data.train_next_batch())
    if state.X_train is not None:
        return Batch(state.X_train, state.y_train, state.train_aux_vars)
    return Batch(*data.train_next_batch())


def _gathered(
    gradients: GroupGradients, weights: Tensor, pieces: tuple[tuple[int, ...], ...]
) -> tuple[GroupGradients, Tensor]:
    """The groups' gradients and weights from those of their pieces."""
    values = torch.stack([gradients.values[list(own)].sum(dim=0) for own in pieces])
    used = gradients.used
    if used is not None:
        used = torch.stack([used[list(own)].any(dim=0) for own in pieces])
    whole = GroupGradients(values, used)
    scaled = weights.unsqueeze(1) * gradients.values
    weighted = torch.stack([scaled[list(own)].sum(dim=0) for own in pieces])
    effective = GroupGradients(weighted).norm(2) / whole.norm(2)
    one = torch.tensor([len(own) == 1 for own in pieces], device=weights.device)
    first = weights[[own[0] for own in pieces]]
    return whole, torch.where(one, first, effective)
