"""Point weights in training: they enter the losses, and follow their points to new batches."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import deepxde as dde
import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from .._deepxde.batch import Batch, BatchSnapshot
from ..gradients.base import GradientEngine, Measured, StatefulMeasure
from ..point_weightings import FixedPoints, PointWeighting, SelfAdaptive
from ..point_weightings.base import PointState
from ..weightings import Weighting
from ..weightings.kinds import FromPointErrors
from .points_of_terms import points_of_terms, pool_of
from .weigh_points import PointRules, weighed_terms


class PointWeights(StatefulMeasure):
    """Applies point weightings, and matches their state with the points of each batch.

    Args:
        model: A compiled ``dde.Model`` on a ``dde.data.PDE`` with the loss "MSE".
        weighting: The weighting, whose weights have the device and the float type of point weights.
        rules: For each weighed term its point weighting. A point weighting may have several terms.
        engine: The engine that computes the losses.
    """

    def __init__(
        self, model: dde.Model, weighting: Weighting, rules: PointRules, engine: GradientEngine
    ):
        #: For each weighed term its point weighting.
        self.rules = rules
        distinct = {id(rule): rule for rule in rules.values()}.values()
        #: Each point weighting once, with the terms that it weighs.
        self._by_rule = [(r, [i for i, other in rules.items() if other is r]) for r in distinct]
        #: Those that are updated before the losses, and the others.
        self._changing = [r for r, _ in self._by_rule if r.dynamic and not r.after_step]
        self._unchanged = [r for r, _ in self._by_rule if r not in self._changing]
        self._model = model
        self._groups, self._scale = engine.groups, engine.scale
        self._like = like = weighting.weights.new_empty(0)
        #: For each term the points that its weights belong to.
        self._points: dict[int, np.ndarray] = {}
        #: For each term that is evaluated on mini-batches: the state of all its points, and the
        #: positions of the present batch among them.
        self._pools: dict[int, PointState] = {}
        self._chosen: dict[int, Tensor] = {}
        self._seen: BatchSnapshot | None = None
        #: The terms whose point weights are divided by their mean: it drifts, and `weighting` would
        #: not follow.
        self._divided = {i for i, r in rules.items() if r.drifts and not weighting.follows_drift}
        #: Whether the weights were updated by the errors of this iteration.
        self._updated = False
        self._true, self._false = (like.new_tensor(v, dtype=torch.bool) for v in (True, False))
        #: The errors of this iteration's first evaluation, for the rules that update after it.
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
        return cls(model, weighting, rules, engine) if rules else None

    def begin(self, batch: Batch) -> None:
        """Called before each iteration with its points."""
        self._follow_points(batch)
        self._updated, self._errors = False, {}

    def __call__(self, errors: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """The losses of all terms with their point weights; an engine's `measure`.

        Args:
            errors: The errors of all terms, one per point.
        """
        self._update_by(errors)
        return self._losses(errors)

    def tensors(self) -> list[Tensor]:
        first = self._false if self._updated else self._true
        rest = [tensor for rule in self._unchanged for tensor in rule.tensors()]
        return [first, *self._changing_tensors(), *rest]

    def settings(self) -> list[Any]:
        return [rule for rule, _ in self._by_rule]

    def measured(self, errors: Mapping[int, Tensor]) -> Measured:
        for i, rule in self.rules.items():
            if rule.number(i) is None:
                self._start(i, len(errors[i]))
        attributes = [dict(vars(rule)) for rule in self._changing]
        first, before = self.tensors()[0], self._changing_tensors()
        try:
            with torch.no_grad():
                copies = [tensor.clone() for tensor in before]  # an update may change in place
                self._set(copies)
                self._update(self._in_own_type(errors), after_step=False)
                after = [
                    torch.where(first, a, b)
                    for a, b in zip(self._changing_tensors(), before, strict=True)
                ]
                self._set(after)
            losses = self._losses(errors)
        finally:
            self._set(before)
        for rule, then in zip(self._changing, attributes, strict=True):
            changed = [name for name, value in vars(rule).items() if value is not then.get(name)]
            vars(rule).update(then)
            if changed:
                raise ValueError(
                    f"{type(rule).__name__}.{changed[0]} changes in an update, and is no tensor "
                    "that `tensors` returns"
                )
        return Measured(losses, after, self._for_later(errors))

    def take(self, changed: Sequence[Tensor], errors: Mapping[int, Tensor]) -> None:
        if not self._updated:
            self._updated, self._errors = True, dict(errors)
            self._set(changed)

    def weigh(self, errors: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """The errors times the roots of their points' weights, of which kernel traces are made."""
        self._update_by(errors)
        weighed = dict(errors)
        for i, rule in self.rules.items():
            weights = rule.weights(i)
            roots = (weights / self._mean_weight(i) if i in self._divided else weights).sqrt()
            weighed[i] = errors[i] * roots.view(-1, *[1] * (errors[i].dim() - 1))
        return weighed

    @torch.no_grad()
    def after_step(self) -> None:
        """Called after the optimizer's step: updates the weights that climb."""
        self._update(self._errors, after_step=True)

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
            of_rule = weighed_terms(self._model.data, self._groups, self._scale)
            rule.reset({i: of_rule[i] for i in terms}, self._like)
        self._points, self._pools, self._chosen, self._seen = {}, {}, {}, None

    def frozen_rules(self) -> dict[int, PointWeighting]:
        """The point weightings with their present weights, which never change."""
        frozen = {id(rule): rule.frozen() for rule, _ in self._by_rule}
        for i in self._divided:
            if self.rules[i].number(i) is not None:
                weights = self.rules[i].weights(i) / self._mean_weight(i)
                frozen[id(self.rules[i])].set_state(i, {"w": weights})
        return {i: frozen[id(rule)] for i, rule in self.rules.items()}

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
            if not same:
                divisor = before._mean_weight(i) if i in before._divided else 1.0
                pool = {"w": before.rules[i].weights_of(pool) / divisor}
            self._pools[i] = pool

    def state_dict(self) -> dict[str, Any]:
        """The points that the weights belong to, and the state of the point weightings."""
        return {
            "points": {i: torch.from_numpy(points.copy()) for i, points in self._points.items()},
            "pools": {i: _copied(pool) for i, pool in self._pools.items()},
            "chosen": {i: chosen.clone() for i, chosen in self._chosen.items()},
            "rules": [rule.state_dict() for rule, _ in self._by_rule],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned, on whichever device that is."""
        device = self._like.device
        self._points = {i: points.cpu().numpy() for i, points in state["points"].items()}
        self._pools = {i: _copied(_moved(pool, device)) for i, pool in state["pools"].items()}
        self._chosen = {i: chosen.clone() for i, chosen in _moved(state["chosen"], device).items()}
        for (rule, _), saved in zip(self._by_rule, state["rules"], strict=True):
            # The Adam in SelfAdaptive keeps a count on the host, and moves the rest itself.
            own = saved if isinstance(rule, SelfAdaptive) else _moved(saved, device)
            rule.load_state_dict(own)
            if isinstance(rule, FixedPoints):
                self._tell_others(rule, own)
        self._seen = None

    def _tell_others(self, rule: FixedPoints, saved: Mapping[str, Any]) -> None:
        """Warns where restored weights are not those that were given to `compile`."""
        points = {
            i: self._tensor(self._points[i][: len(state["w"])])
            for i, state in saved["points"].items()
        }
        names = rule.differing_terms(saved, points)
        if names:
            warnings.warn(
                f"The checkpoint's point weights of {', '.join(names)} are not those given to "
                "compile: the saved ones are used. To start with those given, compile again.",
                stacklevel=7,
            )

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

    def _losses(self, errors: Mapping[int, Tensor]) -> dict[int, Tensor]:
        losses = {}
        for i, of_term in errors.items():
            if i not in self.rules:
                losses[i] = of_term.square().mean()
            elif i in self._divided:
                losses[i] = self.rules[i].loss(i, of_term) / self._mean_weight(i)
            else:
                losses[i] = self.rules[i].loss(i, of_term)
        return losses

    def _mean_weight(self, term: int) -> Tensor:
        """The mean of a term's weights, which may be 0 before the first error, shape ()."""
        weights = self.rules[term].weights(term)
        return weights.mean().clamp(min=torch.finfo(weights.dtype).tiny)

    @torch.no_grad()
    def _update_by(self, errors: Mapping[int, Tensor]) -> None:
        """Updates the weights by the errors of an iteration's first evaluation."""
        for i in self.rules:
            if self.rules[i].number(i) != len(errors[i]):
                self._start(i, len(errors[i]))
        if not self._updated:
            self._updated, self._errors = True, self._for_later(errors)
            self._update(self._in_own_type(errors), after_step=False)

    def _update(self, errors: Mapping[int, Tensor], after_step: bool) -> None:
        for rule, terms in self._by_rule:
            if rule.dynamic and rule.after_step == after_step:
                rule.update({i: errors[i] for i in terms})

    def _in_own_type(self, errors: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """The errors in the type of the weights: a fourth power overflows in half precision."""
        return {i: of_term.detach().to(self._like.dtype) for i, of_term in errors.items()}

    def _for_later(self, errors: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """The errors that are read after the step."""
        later = (terms for rule, terms in self._by_rule if rule.dynamic and rule.after_step)
        return {i: errors[i].detach() for terms in later for i in terms}

    def _changing_tensors(self) -> list[Tensor]:
        """The tensors of the rules that are updated before the losses."""
        return [tensor for rule in self._changing for tensor in rule.tensors()]

    def _set(self, tensors: Sequence[Tensor]) -> None:
        """Puts tensors in the place of :meth:`_changing_tensors`."""
        of_all = iter(tensors)
        for rule in self._changing:
            rule.set_tensors(list(itertools.islice(of_all, len(rule.tensors()))))

    def _start(self, term: int, number: int) -> None:
        """Gives a term fresh weights: at first, or when its number of errors has changed.

        Raises:
            ValueError: If the term has more errors than points.
        """
        if number > len(self._points[term]):
            raise ValueError(
                f"The term {self._groups.terms[term].name!r} has {number} errors at "
                f"{len(self._points[term])} points: weights per point need one error per point."
            )
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
            if not len(points):
                raise ValueError(
                    f"The term {self._groups.terms[i].name!r} has no points now: its loss would be "
                    "nan."
                )
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


def _moved(state: Any, device: torch.device) -> Any:
    """The state, mappings and lists in it included, with all tensors on a device."""
    if isinstance(state, Tensor):
        return state.to(device)
    if isinstance(state, Mapping):
        return {key: _moved(value, device) for key, value in state.items()}
    return [_moved(value, device) for value in state] if isinstance(state, list) else state


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
