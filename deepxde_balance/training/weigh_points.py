"""Which point weighting weighs which loss term: what `point_weights` of `compile` means."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

from .. import point_weightings, weightings
from .._checks import unknown_name
from .._deepxde.batch import Batch, problem_of
from .._deepxde.few_points import at_few_points
from .._deepxde.no_trace import no_trace
from .._deepxde.sampled_points import unchanged_samplers
from ..gradients.per_group import PerGroupEngine
from ..point_weightings import PointWeighting, PointWeightingName
from ..point_weightings.base import Frozen, WeighedTerm
from ..terms.groups import TermGroups
from ..weightings import Weighting, words
from ..weightings.kinds import FromPointErrors
from .points_of_terms import points_of_terms, pool_of

#: What weighs the points of a term.
OneRule = (
    PointWeightingName
    | str
    | PointWeighting
    | np.ndarray
    | Tensor
    | Sequence[float]
    | Callable[[np.ndarray], Any]
)

PointWeightsGiven = OneRule | Mapping[str, OneRule] | None

#: For each weighed term, by position, its point weighting; several terms may have the same.
PointRules = Mapping[int, PointWeighting]


def weighed_terms(
    data: dde.data.Data, groups: TermGroups, scale: Sequence[float] | None
) -> dict[int, WeighedTerm]:
    """What point weightings are told of the terms that belong to a group, by position.

    Args:
        data: The data.
        groups: The groups.
        scale: One static factor per term.
    """
    has_time = _has_time(data)
    return {
        i: WeighedTerm(
            term.name, term.condition is None, has_time, 1.0 if scale is None else scale[i]
        )
        for i, term in enumerate(groups.terms)
        if i not in groups.unweighted
    }


def refuse_as_strategy(loss_weights: Any) -> None:
    """Refuses a point weighting in the place of a strategy.

    Raises:
        TypeError: If `loss_weights` is a point weighting.
        ValueError: If it is the name of one, and of no strategy.
    """
    told = "weighs points, not loss terms: give it as point_weights, beside loss_weights."
    if isinstance(loss_weights, PointWeighting):
        raise TypeError(f"{type(loss_weights).__name__} {told}")
    if isinstance(loss_weights, str):
        name = words.plain_name(loss_weights.partition(":")[0])
        if name in point_weightings.names() and name not in weightings.names():
            raise ValueError(f"{loss_weights!r} {told}")


def rules_for(
    given: PointWeightsGiven,
    model: dde.Model,
    weighting: Weighting,
    groups: TermGroups,
    scale: Sequence[float],
) -> dict[int, PointWeighting]:
    """Makes the point weightings of the terms, which start afresh.

    Args:
        given: The argument `point_weights` of :meth:`deepxde_balance.Model.compile`. Objects are
            copied.
        model: The model.
        weighting: The weighting beside them.
        groups: The groups of the loss terms.
        scale: One static factor per term.

    Raises:
        ValueError: If a name is unknown, a term is named twice, a point weighting can't weigh the
            terms, or the weighting has point weights of its own.
        TypeError: If a name has parameters that its point weighting does not have.
    """
    if given is None:
        return {}
    if isinstance(weighting, FromPointErrors):
        raise ValueError(
            'The strategy "sa" has point weights of its own: leave point_weights out, or give '
            'point_weights="sa" with another strategy.'
        )
    terms = weighed_terms(model.data, groups, scale)
    rules = _named(given, groups, terms) if isinstance(given, Mapping) else _one(given, terms)
    like = next(model.net.parameters()).detach()
    for rule in {id(rule): rule for rule in rules.values()}.values():
        rule.reset({i: terms[i] for i, other in rules.items() if other is rule}, like)
    return rules


def check_rules(model: dde.Model, groups: TermGroups, rules: PointRules, in_passes: bool) -> None:
    """Shows the point weightings the points that the terms have now, which they may refuse.

    Args:
        model: A compiled model.
        groups: The groups of the loss terms.
        rules: The point weightings.
        in_passes: Whether the points are too many to be evaluated together.

    Raises:
        ValueError: If one can't weigh its points.
    """
    if not rules:
        return
    engine = PerGroupEngine(model, groups, [1.0] * len(groups.terms))

    def errors_per_point(batch: Batch) -> dict[int, float]:
        points = points_of_terms(model.data, groups.terms, batch.inputs)
        found: dict[int, float] = {}

        def count(errors: Mapping[int, Tensor]) -> dict[int, Tensor]:
            found.update({i: len(errors[i]) / max(1, len(points[i])) for i in errors})
            return {i: of_term.sum() for i, of_term in errors.items()}

        engine.losses(batch, count)
        return found

    like = next(model.net.parameters()).detach()
    with no_trace(model.net), unchanged_samplers(model.data):
        batch = Batch(*model.data.train_next_batch())
        per_point = at_few_points(model.data, batch, errors_per_point, in_passes)
        points = points_of_terms(model.data, groups.terms, batch.inputs)
        pools = {i: pool_of(term) for i, term in enumerate(groups.terms)}
    for i, rule in rules.items():
        pool = pools[i]
        own = points[i][: round(len(points[i]) * per_point[i])] if pool is None else pool.points
        rule.check(i, torch.as_tensor(own, dtype=like.dtype, device=like.device))


def restored_rules(
    saved: Sequence[Mapping[str, Any]], groups: TermGroups
) -> dict[int, PointWeighting]:
    """The frozen point weightings that a checkpoint describes, whose state is loaded later."""
    position = {term.name: i for i, term in enumerate(groups.terms)}
    rules: dict[int, PointWeighting] = {}
    for entry in saved:
        rules |= dict.fromkeys(
            (position[name] for name in entry["terms"]), Frozen(entry["hyperparameters"]["kept"])
        )
    return rules


def _one(given: Any, terms: Mapping[int, WeighedTerm]) -> dict[int, PointWeighting]:
    """One point weighting for all terms, or for the residuals if it is for residuals only."""
    rule = copy.deepcopy(point_weightings.get(given))
    chosen = [i for i, term in terms.items() if term.residual or not rule.residuals_only]
    if not chosen:
        raise ValueError(
            f"point_weights={given!r} weighs PDE residuals, but there are none: name the terms, "
            'e.g. point_weights={"bc0": ...}.'
        )
    return dict.fromkeys(chosen, rule)


def _named(
    given: Mapping[str, Any], groups: TermGroups, terms: Mapping[int, WeighedTerm]
) -> dict[int, PointWeighting]:
    """The point weightings of a mapping from names of groups or terms.

    The same object, or the same text, for several names is one point weighting.
    """
    members: dict[str, tuple[int, ...]] = {t.name: (i,) for i, t in enumerate(groups.terms)}
    members |= dict(zip(groups.names, groups.members, strict=True))
    made: dict[Any, PointWeighting] = {}
    rules: dict[int, PointWeighting] = {}
    for name, one in given.items():
        if name not in members:
            raise unknown_name("loss term or group in point_weights:", str(name), members)
        key = one if isinstance(one, str) else id(one)
        if key not in made:
            made[key] = copy.deepcopy(point_weightings.get(one))
        for i in members[name]:
            if i not in terms:
                raise ValueError(f"point_weights names {name!r}, which is unweighted.")
            if i in rules:
                raise ValueError(f"point_weights names the term {groups.terms[i].name!r} twice.")
            rules[i] = made[key]
    if not rules:
        raise ValueError("point_weights is an empty mapping: name a term, or leave it out.")
    return rules


def _has_time(data: dde.data.Data) -> bool:
    """Whether the last coordinate of the points is time."""
    geometry = getattr(problem_of(data), "geom", None)
    return hasattr(geometry, "timedomain") or isinstance(geometry, dde.geometry.TimeDomain)
