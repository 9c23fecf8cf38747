"""Point weights in training: they enter the losses, and follow their points to new batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import deepxde as dde
import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from .._deepxde.batch import Batch, BatchSnapshot
from .._deepxde.no_trace import no_trace
from .._deepxde.stock_losses import deepxde_losses
from ..gradients.base import GradientEngine
from ..point_weightings import SelfAdaptive
from ..point_weightings.base import PointState
from ..weightings import Weighting
from ..weightings.base import Reads
from ..weightings.kinds import FromPointErrors
from .points_of_terms import points_of_terms, pool_of
from .weigh_points import PointRules, weighed_terms


class PointWeights:
    """Applies point weightings, and matches their state with the points of each batch.

    Args:
        model: A compiled ``dde.Model`` on a ``dde.data.PDE`` with the loss "MSE".
        rules: For each weighed term its point weighting. A point weighting may have several terms.
        engine: The engine that computes the losses.
        like: A tensor with the device and the float type of the weights.
    """

    def __init__(self, model: dde.Model, rules: PointRules, engine: GradientEngine, like: Tensor):
        #: For each weighed term its point weighting.
        self.rules = rules
        distinct = {id(rule): rule for rule in rules.values()}.values()
        #: Each point weighting once, with the terms that it weighs.
        self._by_rule = [(r, [i for i, other in rules.items() if other is r]) for r in distinct]
        self._model = model
        self._groups = engine.groups
        self._like = like.new_empty(0)
        #: For each term the points that its weights belong to.
        self._points: dict[int, np.ndarray] = {}
        #: For each term that is evaluated on mini-batches: the state of all its points, and the
        #: positions of the present batch among them.
        self._pools: dict[int, PointState] = {}
        self._chosen: dict[int, Tensor] = {}
        self._seen: BatchSnapshot | None = None
        #: The errors in the first evaluation of an iteration, by term.
        self._errors: dict[int, Tensor] = {}

    @classmethod
    def of(
        cls, model: dde.Model, weighting: Weighting, engine: GradientEngine, rules: PointRules
    ) -> PointWeights | None:
        """The point weights of a training step; ``None`` if there are none.

        Args:
            model: The model.
            weighting: The weighting, which may have point weights of its own.
            engine: The engine that computes the losses.
            rules: The point weightings beside the weighting.
        """
        if isinstance(weighting, FromPointErrors):
            terms = weighed_terms(model.data, engine.groups, engine.scale)
            own = SelfAdaptive.of_strategy(weighting, terms, engine.groups.members)
            rules = dict.fromkeys(terms, own)
        return cls(model, rules, engine, weighting.weights) if rules else None

    def begin(self, batch: Batch) -> None:
        """Called before each iteration with its points."""
        self._follow_points(batch)
        self._errors = {}

    def losses(self, errors: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """The losses of all terms with their point weights; an engine's `measure`.

        Args:
            errors: The errors of all terms, one per point.
        """
        self._take(errors)
        return {
            i: self.rules[i].loss(i, of_term) if i in self.rules else of_term.square().mean()
            for i, of_term in errors.items()
        }

    def weigh(self, errors: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """The errors times the roots of their points' weights, of which kernel traces are made."""
        self._take(errors)
        weighed = dict(errors)
        for i, rule in self.rules.items():
            roots = rule.weights(i).sqrt()
            weighed[i] = errors[i] * roots.view(-1, *[1] * (errors[i].dim() - 1))
        return weighed

    @torch.no_grad()
    def after_step(self) -> None:
        """Called after the optimizer's step: updates the weights that climb."""
        self._update(after_step=True)

    def present(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """For each term, by name, its points, shape (N, d), and their weights, shape (N,)."""
        found = {}
        for i, rule in self.rules.items():
            number = rule.number(i)
            if number is not None and i in self._points:
                weights = rule.weights(i).detach().cpu().numpy().copy()
                found[self._groups.terms[i].name] = (self._points[i][:number].copy(), weights)
        return found

    def reset(self) -> None:
        """Lets the weights start afresh."""
        for rule, terms in self._by_rule:
            of_rule = weighed_terms(self._model.data, self._groups, None)
            rule.reset({i: of_rule[i] for i in terms}, self._like)
        self._points, self._pools, self._chosen, self._seen = {}, {}, {}, None

    def follow_points_of(self, before: PointWeights) -> None:
        """Goes on from the points that the weights had in an earlier step.

        The point weightings are those of the earlier step, or those frozen.
        """
        if self.rules.keys() != before.rules.keys():
            return
        self._points, self._seen = dict(before._points), None
        self._chosen = dict(before._chosen)
        for i, pool in before._pools.items():
            same = type(self.rules[i]) is type(before.rules[i])
            self._pools[i] = pool if same else {"w": before.rules[i].weights_of(pool)}

    def state_dict(self) -> dict[str, Any]:
        """The points that the weights belong to, and the state of the point weightings."""
        return {
            "points": {i: torch.from_numpy(points.copy()) for i, points in self._points.items()},
            "pools": {i: _copied(pool) for i, pool in self._pools.items()},
            "chosen": {i: chosen.clone() for i, chosen in self._chosen.items()},
            "rules": [rule.state_dict() for rule, _ in self._by_rule],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned."""
        self._points = {i: points.cpu().numpy() for i, points in state["points"].items()}
        self._pools = {i: _copied(pool) for i, pool in state["pools"].items()}
        self._chosen = {i: chosen.clone() for i, chosen in state["chosen"].items()}
        for (rule, _), saved in zip(self._by_rule, state["rules"], strict=True):
            rule.load_state_dict(saved)
        self._seen = None

    def in_words(self) -> str:
        """The rules and their terms, for messages."""
        entries = (f"{entry['rule']} of {', '.join(entry['terms'])}" for entry in self.describe())
        return "; ".join(entries)

    def describe(self) -> list[dict[str, Any]]:
        """The rules, their hyperparameters and their terms, for a checkpoint."""
        return [
            {
                "rule": rule.rule,
                "terms": [self._groups.terms[i].name for i in terms],
                "hyperparameters": rule.hyperparameters,
            }
            for rule, terms in self._by_rule
            if not (isinstance(rule, SelfAdaptive) and rule.is_strategy)  # that of "sa" itself
        ]

    @torch.no_grad()
    def _take(self, errors: Mapping[int, Tensor]) -> None:
        """Updates the weights by the errors of an iteration's first evaluation."""
        for i, of_term in errors.items():
            if i in self.rules and self.rules[i].number(i) != len(of_term):
                self._start(i, len(of_term))
        if not self._errors:
            self._errors = {i: of_term.detach() for i, of_term in errors.items()}
            self._update(after_step=False)

    def _update(self, after_step: bool) -> None:
        for rule, terms in self._by_rule:
            if rule.dynamic and rule.after_step == after_step:
                errors = {i: self._errors[i] for i in terms}
                if not isinstance(rule, SelfAdaptive):  # a fourth power overflows in half precision
                    errors = {i: of_term.to(self._like.dtype) for i, of_term in errors.items()}
                rule.update(errors)

    def _start(self, term: int, number: int) -> None:
        """Gives a term fresh weights: at first, or when its number of errors has changed."""
        rule, points = self.rules[term], self._tensor(self._points[term][:number])
        pool = pool_of(self._groups.terms[term])
        if pool is not None and rule.number(term) is None:
            rule.start(term, self._tensor(pool.points))
            self._pools[term] = rule.state(term)
            self._choose(term, pool.chosen)
        elif rule.number(term) is None:
            rule.start(term, points)
        else:
            rule.carry_over(term, points, torch.full((number,), -1, device=points.device))

    def _choose(self, term: int, chosen: np.ndarray) -> None:
        """Gives a term the state of a mini-batch of its points."""
        self._chosen[term] = torch.as_tensor(chosen, device=self._like.device)
        self.rules[term].set_state(
            term, {name: value[self._chosen[term]] for name, value in self._pools[term].items()}
        )

    def _follow_points(self, batch: Batch) -> None:
        """Matches the weights with the points of a new batch."""
        if self._seen is not None and self._seen.is_(batch):
            return
        self._seen = BatchSnapshot(batch)
        inputs = self._seen.batch.inputs  # a copy, which no script changes
        for i, points in points_of_terms(self._model.data, self._groups.terms, inputs).items():
            if i not in self.rules:
                continue
            rule, before = self.rules[i], self._points.get(i)
            number = rule.number(i)
            self._points[i] = points
            if number is None or before is None or np.array_equal(before, points):
                continue
            pool = pool_of(self._groups.terms[i])
            if pool is not None and i in self._pools:
                for name, value in rule.state(i).items():
                    self._pools[i][name] = self._pools[i][name].clone()
                    self._pools[i][name][self._chosen[i]] = value
                self._choose(i, pool.chosen)
                continue
            points_per_error = len(before) // number  # a PeriodicBC has one error for two points
            now = points[: len(points) // max(points_per_error, 1)]
            old = positions(before[:number], now)
            if rule.inherit == "nearest":
                old = with_nearest(old, before[:number], now)
            rule.carry_over(
                i, self._tensor(now), torch.from_numpy(old).to(device=self._like.device)
            )

    def _tensor(self, points: np.ndarray) -> Tensor:
        return torch.as_tensor(points, dtype=self._like.dtype, device=self._like.device)


def _copied(state: Mapping[str, Tensor]) -> PointState:
    return {name: value.clone() for name, value in state.items()}


def positions(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """For each row of `now` its position among the rows of `before`, -1 if it is not among them."""
    known = {row.tobytes(): k for k, row in enumerate(np.ascontiguousarray(before))}
    return np.array([known.get(row.tobytes(), -1) for row in np.ascontiguousarray(now)], dtype=int)


def with_nearest(old: np.ndarray, before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """The positions `old`, with that of the nearest row of `before` in the place of -1."""
    new = np.flatnonzero(old < 0)
    if len(new) and len(before):
        old = old.copy()
        old[new] = cKDTree(before).query(now[new])[1]
    return old


def _losses_are_of_errors(data: dde.data.Data) -> bool:
    """Whether each loss is that of one term's errors at its points, as far as DeepXDE's code is."""
    if not isinstance(data, dde.data.PDE) or {"losses", "losses_train"} & set(vars(data)):
        return False
    known = (dde.data.PDE, dde.data.IDE, dde.data.FPDE)
    return type(data).losses is dde.data.PDE.losses and type(data).losses_train in [
        kind.losses_train for kind in known
    ]


def check_reads(model: dde.Model, weighting: Weighting, with_points: bool = False) -> None:
    """Refuses a model that does not provide what a weighting reads.

    Args:
        model: A compiled model.
        weighting: The weighting.
        with_points: Whether there are point weightings beside it.

    Raises:
        ValueError: If the weighting reads errors at points, but the losses are not made of such
            errors; or if there are point weights, but a loss is not "MSE".
    """
    data, name = model.data, type(weighting).__name__
    if weighting.reads.needs_errors and not _losses_are_of_errors(data):
        raise ValueError(
            f"{name} needs the errors at the points, which only dde.data.PDE, TimePDE, IDE, FPDE "
            f"and TimeFPDE tell, not {type(data).__name__} with losses of its own. Use "
            'loss_weights="equal"; with several terms, a strategy that reads losses alone ("capu").'
        )
    if with_points and not _losses_are_of_errors(data):
        raise ValueError(
            "point_weights needs the errors at the points, which only dde.data.PDE, TimePDE, IDE, "
            f"FPDE and TimeFPDE tell, not {type(data).__name__} with losses of its own: leave "
            "point_weights out."
        )
    if weighting.reads is not Reads.POINT_ERRORS and not with_points:
        return
    with no_trace(model.net):
        loss_fn = deepxde_losses(model, Batch(*data.train_next_batch())).loss_fn
    functions = [loss_fn] if callable(loss_fn) else list(loss_fn)
    if all(function is dde.losses.mean_squared_error for function in functions):
        return
    if with_points:
        raise ValueError(
            'point_weights weighs squared errors: compile with loss="MSE", or leave it out.'
        )
    raise ValueError(
        'Weights per point ("sa") weigh squared errors: compile with loss="MSE", or use "sa-term".'
    )
