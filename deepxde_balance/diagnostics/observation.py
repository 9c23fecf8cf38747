"""Observes a model: losses, gradients and weights by group, without training it."""

from __future__ import annotations

from typing import Any, NamedTuple

import deepxde as dde
import torch
from torch import Tensor

from .._deepxde.batch import Batch
from .._deepxde.no_trace import no_trace
from .._deepxde.sampled_points import unchanged_samplers
from ..gradients.base import GradientEngine
from ..gradients.choose import EngineAsked, choose_engine
from ..gradients.ntk_traces import kernel_traces
from ..gradients.per_group import PerGroupEngine
from ..terms.find_terms import find_terms
from ..terms.groups import LossGroups, TermGroups, group_terms, ungrouped
from ..terms.term import UNWEIGHTED, Term, rename
from ..training.check_reads import check_reads
from ..training.run import run_of
from ..training.step import TrainStep, autocast, factors_of
from ..weightings import Auto, Equal
from ..weightings.group_gradients import GroupGradients

#: Estimates of the kernel's traces that are averaged. At worst, where all errors change alike, the
#: mean has a relative standard deviation of 25 %; the order of magnitude is asked for.
_PROBES = 32


class Observation(NamedTuple):
    """The result of one evaluation of a model on its training points.

    Args:
        names: Names of the groups, the reference first; the last is ``"unweighted"`` if
            `loss_groups` lists unweighted terms.
        losses: The groups' losses, without weights, with static factors, shape (K,).
        gradients: The gradients of these losses with respect to the network's parameters.
        weights: The present weights of the groups, shape (K,); 0 for a static factor 0. If the
            terms of a group have different weights, its weight is ||weighted gradient|| /
            ||gradient||. If points have weights (SA), it is the mean of their squares.
    """

    names: tuple[str, ...]
    losses: Tensor
    gradients: GroupGradients
    weights: Tensor


def observe(model: dde.Model, loss_groups: LossGroups | None = None) -> Observation:
    """Evaluates the losses and gradients of a compiled model once. The model does not change.

    Args:
        model: A compiled :class:`~deepxde_balance.Model` or stock ``dde.Model``.
        loss_groups: Which terms share a row, see :meth:`deepxde_balance.Model.compile`. By
            default the strategy's groups; but every term by itself in a stock model, and in a
            model that is compiled without a strategy and without `loss_groups`.

    Raises:
        ValueError: If the groups don't fit the conditions.
    """
    return Observer(model, loss_groups)()


class _Plan(NamedTuple):
    """How to evaluate the groups.

    An engine gives one gradient for terms that share a weight. A group whose terms have different
    weights is therefore evaluated in several pieces.

    Args:
        groups: The groups to observe.
        pieces: For each row of `groups` the positions of its pieces among the engine's rows.
        engine: Computes the gradients of the pieces.
    """

    groups: TermGroups
    pieces: tuple[tuple[int, ...], ...]
    engine: GradientEngine

    @property
    def names(self) -> tuple[str, ...]:
        return self.groups.names + ((UNWEIGHTED,) if self.groups.unweighted else ())


class Observer:
    """Does what :func:`observe` does, repeatedly; the plan is made once for each compile.

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
        term_weights = self._term_weights().to(computed.losses)
        weights = torch.stack([term_weights[row[0]] for row in rows])
        scaled = computed.losses * computed.losses.new_tensor(plan.engine.scale)
        losses = torch.stack([scaled[list(row)].sum() for row in plan.groups.rows])
        if len(plan.pieces) < len(rows):
            gradients, weights = _gathered(gradients, weights, plan.pieces)
        return Observation(plan.names, losses, gradients, weights)

    def term_traces(self) -> dict[str, float] | None:
        """The kernel's traces of the terms by name, means over the points.

        They are without weights and with static factors.

        They are estimated, and the estimate is the same in each call. ``None`` if the losses are
        not computed from errors at points.
        """
        if not tells_errors(self.model):
            return None
        terms, net, batch = self.groups.terms, self.model.net, current_batch(self.model)
        auxiliary_vars = net.auxiliary_vars
        try:
            engine = self._engine(ungrouped(terms))
            with no_trace(net), torch.enable_grad(), autocast():
                torch.manual_seed(0)
                traces = kernel_traces(engine, batch, exact=False, probes=_PROBES)
        finally:
            net.auxiliary_vars = auxiliary_vars
        return dict(zip((term.name for term in terms), traces.tolist(), strict=True))

    def present_factors(self) -> dict[str, float]:
        """The static factors of the terms that have one other than 1 and 0, by name."""
        factors = zip(self.groups.terms, factors_of(training_step(self.model)), strict=False)
        return {term.name: factor for term, factor in factors if factor not in (0, 1)}

    @property
    def groups(self) -> TermGroups:
        """The groups that the next call observes."""
        return self._current_plan().groups

    def _current_plan(self) -> _Plan:
        weighted = weighted_groups(self.model)
        key = (self.model.opt, weighted, self._numbers())
        if self._plan is None or key != self._planned_for:
            self._plan, self._planned_for = self._make_plan(weighted), key
        return self._plan

    def _make_plan(self, weighted: tuple[TermGroups, tuple[float, ...]] | None) -> _Plan:
        terms = (
            rename(find_terms(self.model), run_of(self.model).term_names)
            if weighted is None
            else weighted[0].terms
        )
        if self.loss_groups is not None:
            groups = group_terms(terms, self.loss_groups)
            not_empty = [k for k, members in enumerate(groups.members) if members]
            groups = TermGroups(
                terms,
                tuple(groups.names[k] for k in not_empty),
                tuple(groups.members[k] for k in not_empty),
                groups.unweighted,
            )
        else:
            groups = ungrouped(terms) if weighted is None else weighted[0]
        sources = self._sources(terms, weighted)
        rows: list[tuple[int, ...]] = []
        pieces = []
        for members in groups.rows:
            own = dict.fromkeys(sources[i] for i in members)
            pieces.append(tuple(range(len(rows), len(rows) + len(own))))
            rows += [tuple(i for i in members if sources[i] == source) for source in own]
        names = tuple(f"row {i}" for i in range(len(rows)))
        return _Plan(groups, tuple(pieces), self._engine(TermGroups(terms, names, tuple(rows))))

    def _sources(
        self, terms: tuple[Term, ...], weighted: tuple[TermGroups, tuple[float, ...]] | None
    ) -> list[Any]:
        """Where each term's weight comes from; equal for terms that always have equal weights."""
        if weighted is not None:
            groups, scale = weighted
            row_of = {i: number for number, row in enumerate(groups.rows) for i in row}
            return [(row_of[i], scale[i] == 0) for i in range(len(terms))]
        return list(self._numbers() or [1.0] * len(terms))

    def _engine(self, rows: TermGroups) -> GradientEngine:
        """The training step's engine if it has these rows, or else a new one of the same kind."""
        step = training_step(self.model)
        scale = (1.0,) * len(rows.terms) if step is None else step.engine.scale
        if step is not None and step.engine.groups.rows == rows.rows:
            return step.engine
        name = getattr(self.model, "gradient_engine", "per-group")
        if step is not None:
            name = step.engine.name
        if name == "per-group":
            # It evaluates on DeepXDE's own arrays of points. DeepXDE caches targets by the ids of
            # such arrays, and a stock model must not cache those of other arrays.
            return PerGroupEngine(self.model, rows, scale)
        return choose_engine(self.model, rows, scale, self._asked())

    def _asked(self) -> EngineAsked:
        """What was asked of the engine, but for its name."""
        return run_of(self.model).engine_asked._replace(name=None)

    def _term_weights(self) -> Tensor:
        step = training_step(self.model)
        if step is not None:
            return step.term_weights().detach()
        assert self._plan is not None
        numbers = self._numbers() or [1.0] * len(self._plan.groups.terms)
        parameter: Tensor = next(self.model.net.parameters())
        return parameter.detach().new_tensor(numbers)

    def _numbers(self) -> tuple[float, ...] | None:
        """The list of numbers that the model was compiled with; ``None`` if there is none."""
        numbers = self.model.loss_weights
        return None if numbers is None else tuple(float(number) for number in numbers)


def training_step(model: dde.Model) -> TrainStep | None:
    """The model's training step if it is ours; ``None`` if it is DeepXDE's."""
    return model.train_step if isinstance(model.train_step, TrainStep) else None


def tells_errors(model: dde.Model) -> bool:
    """Whether the model's losses are computed from errors at points, so that `Auto` can be used."""
    try:
        check_reads(model, Auto())
    except ValueError:
        return False
    return True


def weighted_groups(model: dde.Model) -> tuple[TermGroups, tuple[float, ...]] | None:
    """The groups that the model's strategy weighs, and the static factors of the terms.

    ``None`` in a stock model, and in a model that is compiled without a strategy and without
    `loss_groups`.
    """
    step = training_step(model)
    if step is None:
        return None
    groups, scale = step.engine.groups, step.engine.scale
    if isinstance(step.weighting, Equal) and groups == group_terms(groups.terms):
        return None
    return groups, scale


def current_batch(model: dde.Model) -> Batch:
    """The present training points of the model; no new points are drawn."""
    data, state = model.data, model.train_state
    # The losses of a PDE read its present points, which a callback may have resampled since the
    # last step set `state`.
    is_pde = isinstance(data, dde.data.PDE)
    if is_pde and type(data).train_next_batch is dde.data.PDE.train_next_batch:
        return Batch(*data.train_next_batch())
    if state.X_train is not None:
        return Batch(state.X_train, state.y_train, state.train_aux_vars)
    with unchanged_samplers(data):
        return Batch(*data.train_next_batch())


def _gathered(
    gradients: GroupGradients, weights: Tensor, pieces: tuple[tuple[int, ...], ...]
) -> tuple[GroupGradients, Tensor]:
    """The gradients and weights of the groups, from those of their pieces."""
    values = torch.stack([gradients.values[list(own)].sum(dim=0) for own in pieces])
    used = gradients.used
    if used is not None:
        used = torch.stack([used[list(own)].any(dim=0) for own in pieces])
    whole = GroupGradients(values, used)
    scaled = weights.unsqueeze(1) * gradients.values
    weighted = torch.stack([scaled[list(own)].sum(dim=0) for own in pieces])
    effective = GroupGradients(weighted).norm(2) / whole.norm(2)
    has_one_piece = torch.tensor([len(own) == 1 for own in pieces], device=weights.device)
    first = weights[[own[0] for own in pieces]]
    return whole, torch.where(has_one_piece, first, effective)
