"""Makes the training step from the weights and groups that `compile` is given."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import deepxde as dde
import numpy as np
import torch

from .. import weightings
from .._checks import factor, is_number, unknown_name
from .._deepxde.batch import problem_of
from .._deepxde.nncg import NNCG
from .._deepxde.stock_model import StockModel
from ..gradients.choose import ANY_ENGINE, EngineAsked, choose_engine, takes_passes
from ..terms.find_terms import find_terms
from ..terms.groups import LossGroups, TermGroups, group_terms, ungrouped
from ..terms.same_terms import check_same_terms
from ..terms.term import Term, TermNames, check_length, rename
from ..weightings import Equal, Fixed, Keep, StrategyName, Weighting
from ..weightings.base import Reads
from ..weightings.per_point import KeptPoints
from .check_reads import check_reads
from .hard_constraints import weighed_groups
from .run import TrainingRun
from .step import TrainStep
from .weigh_points import (
    PointRules,
    PointWeightsGiven,
    check_rules,
    refuse_as_strategy,
    restored_rules,
    rules_for,
)

LossWeights = (
    StrategyName
    | Weighting
    | Sequence[float]
    | Mapping[str, float]
    | np.ndarray
    | torch.Tensor
    | None
)

#: DeepXDE's optimizers that evaluate the loss themselves, by their names.
_EVALUATING: Mapping[str, Callable[[list[torch.Tensor]], torch.optim.Optimizer]] = {
    "L-BFGS": torch.optim.LBFGS,
    "L-BFGS-B": torch.optim.LBFGS,
    "NNCG": NNCG,
}

#: The weightings that hold the frozen weights of an earlier phase, by their names in checkpoints.
_KEPT: Mapping[str, type[Weighting]] = {kind.__name__: kind for kind in (Keep, KeptPoints)}


def build_step(
    model: dde.Model,
    run: TrainingRun,
    loss_weights: LossWeights,
    loss_groups: LossGroups | None,
    loss: Any,
    engine: EngineAsked,
    point_weights: PointWeightsGiven = None,
    term_names: TermNames | None = None,
) -> tuple[TrainStep | None, list[float] | None]:
    """Makes the training step for the arguments of `compile`; the model does not change.

    Args:
        model: The model; it need not be compiled yet.
        run: The model's run so far. ``"keep"`` takes the weights of its step.
        loss_weights: See :meth:`deepxde_balance.Model.compile`.
        loss_groups: See :meth:`deepxde_balance.Model.compile`.
        loss: DeepXDE's loss function or its name, or a list of these, one per term.
        engine: What was asked of the gradient engine.
        point_weights: See :meth:`deepxde_balance.Model.compile`.
        term_names: See :meth:`deepxde_balance.Model.compile`.

    Returns:
        The step, and the numbers for DeepXDE's own `loss_weights`. The step is ``None`` where
        DeepXDE's own step can train, or the terms are found in the first iteration. The numbers
        are ``None`` unless the weights are numbers.

    Raises:
        ValueError: If weights or groups don't fit the problem.
        TypeError: If weights or groups are of the wrong type.
    """
    refuse_as_strategy(loss_weights)
    if loss_weights is None:
        loss_weights = "equal"
    if not isinstance(loss_weights, (str, Weighting)):
        numbers = checked_numbers(loss_weights)
        if loss_groups is not None:
            raise ValueError(
                "A list of numbers weighs each loss term by itself: leave loss_groups out."
            )
        other, terms = _find_terms(model, loss, Fixed(numbers), point_weights is not None, engine)
        terms = rename(terms, term_names)
        if isinstance(loss_weights, Mapping):
            numbers = _by_name(dict(zip(loss_weights, numbers, strict=True)), terms)
        check_length("loss_weights", numbers, terms)
        step = start_step(
            model, Fixed(numbers), ungrouped(terms), engine, point_weights=point_weights
        )
        check_points(other, step)
        return step, numbers
    weighting = copy.deepcopy(weightings.get(loss_weights))
    if isinstance(weighting, Keep):
        if loss_groups is not None:
            raise ValueError('"keep" keeps the groups of the phase before: leave loss_groups out.')
        if point_weights is not None:
            raise ValueError(
                '"keep" keeps the point weights of the phase before, too: leave point_weights out.'
            )
        if term_names is not None:
            raise ValueError('"keep" keeps the names of the phase before: leave term_names out.')
        _check_phase_before(model, run.step)
        before = run.step
        if before is None:  # with weight 1 for all
            _, terms = _find_terms(model, loss, weighting, False, engine)
            return start_step(model, weighting, group_terms(terms), engine), model.loss_weights
        _, terms = _find_terms(model, loss, before.weighting, bool(before.rules_beside), engine)
        check_same_terms(terms, before.engine.groups.terms)
        return keep_step(model, before, engine), model.loss_weights
    others = (loss_groups, weighting.scale, point_weights, term_names)
    plain = all(given is None for given in others)
    if isinstance(weighting, Equal) and plain and not takes_passes(engine, model.data, model.net):
        return None, None
    other, terms = _find_terms(model, loss, weighting, point_weights is not None, engine)
    groups = group_terms(rename(terms, term_names), loss_groups)
    in_passes = takes_passes(engine, model.data, model.net)
    groups = weighed_groups(other, weighting, groups, in_passes)
    step = start_step(model, weighting, groups, engine, point_weights=point_weights)
    check_points(other, step)
    return step, None


def start_step(
    model: dde.Model,
    weighting: Weighting,
    groups: TermGroups,
    engine: EngineAsked = ANY_ENGINE,
    first_record: int | None = None,
    point_weights: PointWeightsGiven = None,
) -> TrainStep:
    """Makes a step whose weights start afresh, with 1 for all.

    Args:
        model: The model; it need not be compiled yet.
        weighting: The weighting; it is reset.
        groups: The groups of the loss terms.
        engine: What was asked of the gradient engine.
        first_record: Index of the step's first record in the loss history; by default the next.
        point_weights: See :meth:`deepxde_balance.Model.compile`.

    Raises:
        ValueError: If the weighting can't balance these groups, or a point weighting can't weigh
            these terms.
        TypeError: If the weighting is no strategy that can be trained with.
    """
    if weighting.dynamic and weighting.reads is Reads.NOTHING:
        raise TypeError(
            f"{type(weighting).__name__} does not say what its update reads: derive it from "
            "ddb.FromLosses or ddb.FromGradients."
        )
    problem = problem_of(model.data)
    distinguished = problem is not None and (
        not problem.bcs or any(term.condition is not None for term in groups.terms)
    )
    if weighting.dynamic and not distinguished and len(groups.names) < 2:
        raise ValueError(
            f"{type(model.data).__name__} gives {len(groups.terms)} loss(es), not told apart as "
            "PDE residuals and conditions. With several, choose the reference by "
            'loss_groups={"pde": [0]}; with one, use loss_weights="equal".'
        )
    if weighting.dynamic and weighting.needs_reference and not groups.has_reference:
        first = groups.names[0] if groups.names else "..."
        raise ValueError(
            f"There is no PDE residual, so the weights of {weighting.called} have no reference. "
            f'Make a condition the reference, loss_groups={{"reference": [{first!r}]}}; or take a '
            'strategy that needs none, such as "relobralo" or "uw".'
        )
    weighting.check(groups.names)
    scale = groups.scale_factors(weighting.scale)
    weighting.reset(len(groups.names), like=next(model.net.parameters()).detach())
    _check_state(weighting)
    rules = rules_for(point_weights, model, weighting, groups, scale)
    return step_with(model, weighting, groups, scale, engine, first_record, rules)


def keep_step(
    model: dde.Model,
    before: TrainStep,
    engine: EngineAsked = ANY_ENGINE,
    first_record: int | None = None,
) -> TrainStep:
    """Makes a step with the weights of an earlier phase, frozen.

    Args:
        model: The model; it need not be compiled yet.
        before: The step of the earlier phase.
        engine: What was asked of the gradient engine.
        first_record: See :func:`start_step`.

    Raises:
        ValueError: If these weights can't be kept.
    """
    before.check_weights()
    _check_can_be_kept(before)
    kept = before.weighting.frozen()
    return go_on_step(model, before, kept, engine, first_record, before.frozen_rules())


def go_on_step(
    model: dde.Model,
    before: TrainStep,
    weighting: Weighting,
    engine: EngineAsked = ANY_ENGINE,
    first_record: int | None = None,
    rules: PointRules | None = None,
) -> TrainStep:
    """Makes a step for the groups and the points of an earlier one.

    Args:
        model: The model; it need not be compiled yet.
        before: The earlier step.
        weighting: The earlier step's weighting, or that one frozen.
        engine: What was asked of the gradient engine.
        first_record: See :func:`start_step`.
        rules: The earlier step's point weightings frozen; by default they go on as they are.
    """
    groups, scale = before.engine.groups, before.engine.scale
    if rules is None:
        rules = before.rules_beside
    step = step_with(model, weighting, groups, scale, engine, first_record, rules)
    step.follow_points_of(before)
    return step


def restored_keep_step(
    model: dde.Model,
    saved: Mapping[str, Any],
    engine: EngineAsked,
    term_names: TermNames | None = None,
) -> TrainStep | None:
    """Makes a step for the kept weights in a checkpoint, which are loaded into it later.

    Args:
        model: A compiled model.
        saved: The part of the checkpoint that describes the weighting.
        engine: What was asked of the gradient engine.
        term_names: The names of residuals that the model was compiled with.

    Returns:
        The step; ``None`` if the saved run did not have ``"keep"``.

    Raises:
        ValueError: If the saved run had loss terms that the model does not have.
    """
    if saved["strategy"] not in _KEPT:
        return None
    in_passes = takes_passes(engine, model.data, model.net)
    terms = rename(find_terms(model, in_passes), term_names)
    position = {term.name: i for i, term in enumerate(terms)}
    named = {name for own in saved["groups"].values() for name in own} | {*saved["unweighted"]}
    if not named <= position.keys():
        raise ValueError(
            f"its weights are of the terms {', '.join(sorted(named))}, the model's terms are "
            f"{', '.join(position)}."
        )
    members = tuple(tuple(position[name] for name in own) for own in saved["groups"].values())
    unweighted = tuple(position[name] for name in saved["unweighted"])
    groups = TermGroups(terms, tuple(saved["groups"]), members, unweighted)
    kept = _KEPT[saved["strategy"]]()
    vars(kept).update(saved["hyperparameters"])
    kept.reset(len(members), like=next(model.net.parameters()).detach())
    rules = restored_rules(saved["points"], groups)
    return step_with(model, kept, groups, saved["scale"], engine, rules=rules)


def step_with_numbers(
    model: dde.Model, step: TrainStep, numbers: list[float] | None, engine: EngineAsked
) -> TrainStep:
    """Applies the numbers that a script has assigned to `model.loss_weights` since `compile`.

    DeepXDE reads `model.loss_weights` in each evaluation.

    Args:
        model: The model.
        step: The model's step.
        numbers: The numbers, one per term; ``None`` for weight 1 for all.
        engine: What was asked of the gradient engine.

    Returns:
        The step with these weights: the given one, or a new one.

    Raises:
        ValueError: If the step's weights come from a strategy, or there is not one number per term.
    """
    if not isinstance(step.weighting, (Equal, Fixed)):
        raise ValueError(
            f"model.loss_weights was set to {numbers}, but the weights of this model are those of "
            f"{step.weighting.called}: compile it with the list of numbers instead, or give "
            "static factors to the weighting's `scale`."
        )
    terms = step.engine.groups.terms
    if numbers is None:
        new = start_step(model, Equal(), group_terms(terms), engine)
    else:
        check_length("loss_weights", numbers, terms)
        if isinstance(step.weighting, Fixed):
            step.weighting.change(numbers)
            return step
        new = start_step(model, Fixed(numbers), ungrouped(terms), engine)
    if step.points is None:
        return new
    groups, scale = new.engine.groups, new.engine.scale
    new = step_with(model, new.weighting, groups, scale, engine, rules=step.points.rules)
    new.follow_points_of(step)
    return new


def step_with(
    model: dde.Model,
    weighting: Weighting,
    groups: TermGroups,
    scale: Sequence[float],
    engine: EngineAsked = ANY_ENGINE,
    first_record: int | None = None,
    rules: PointRules | None = None,
) -> TrainStep:
    """Makes a step with a weighting in its present state.

    Args:
        model: The model; it need not be compiled yet.
        weighting: The weighting, which has a weight for each group.
        groups: The groups of the loss terms.
        scale: One static factor per term.
        engine: What was asked of the gradient engine.
        first_record: See :func:`start_step`.
        rules: The point weightings of the terms, by position.
    """
    if first_record is None:
        first_record = len(model.losshistory.steps)
    return TrainStep(
        model, weighting, choose_engine(model, groups, scale, engine), first_record, rules
    )


def check_optimizer(weighting: Weighting, optimizer: str | torch.optim.Optimizer) -> None:
    """Raises a ValueError if the weighting can't work beside the optimizer.

    Args:
        weighting: The weighting.
        optimizer: The optimizer, or a name. By name, L-BFGS and NNCG alone are checked.
    """
    if isinstance(optimizer, str) and optimizer in _EVALUATING:
        optimizer = _EVALUATING[optimizer]([torch.zeros(1, requires_grad=True)])
    if isinstance(optimizer, torch.optim.Optimizer):
        weighting.attach(optimizer)


def checked_numbers(loss_weights: Any) -> list[float]:
    """Returns the numbers given as `loss_weights` as a list of floats, a mapping's in its order.

    Raises:
        TypeError: If `loss_weights` is no list, tuple, mapping, array or tensor of numbers.
        ValueError: If a number is negative or not finite, or a mapping is empty.
    """
    if isinstance(loss_weights, (np.ndarray, torch.Tensor)):
        loss_weights = loss_weights.tolist()
    keys: Any = range(len(loss_weights)) if isinstance(loss_weights, (list, tuple)) else ()
    values: Any = loss_weights
    if isinstance(loss_weights, Mapping):
        if not loss_weights:
            raise ValueError("loss_weights={} names no loss term: leave it out for weight 1.")
        keys, values = list(loss_weights), list(loss_weights.values())
    if not isinstance(values, (list, tuple)):
        if isinstance(loss_weights, type):
            raise TypeError(
                f"loss_weights={loss_weights.__name__} is not allowed: it is a class; give an "
                "object, as in ddb.DN()."
            )
        raise TypeError(
            f"loss_weights={loss_weights!r} is not allowed: give the name of a strategy "
            f"({', '.join(weightings.names())}), a weighting object, a list of numbers, a mapping "
            "from names of loss terms to numbers, or None."
        )
    return [_number(f"loss_weights[{k!r}]", w) for k, w in zip(keys, values, strict=True)]


def _number(name: str, value: Any) -> float:
    """One of the numbers given as `loss_weights`, perhaps as a tensor of shape ()."""
    if isinstance(value, (np.ndarray, torch.Tensor)) and value.ndim == 0:
        value = value.item()
    if not is_number(value):
        raise TypeError(
            f"{name}={value!r} is not allowed: give a plain number, one for each loss term."
        )
    return factor(name, value)


def _by_name(numbers: Mapping[str, float], terms: Sequence[Term]) -> list[float]:
    """One number per term; 1 for those that are not named.

    Raises:
        ValueError: If a name is not that of a term.
    """
    names = [term.name for term in terms]
    for name in numbers:
        if name not in names:
            raise unknown_name("loss term in loss_weights:", name, names)
    return [numbers.get(name, 1.0) for name in names]


def check_points(model: dde.Model, step: TrainStep) -> None:
    """Shows the step's point weightings the points that the terms have now.

    Args:
        model: A compiled model.
        step: The step.

    Raises:
        ValueError: If a point weighting can't weigh its points.
    """
    in_passes = step.engine.points_per_pass is not None
    check_rules(model, step.engine.groups, step.rules_beside, in_passes)


def _find_terms(
    model: dde.Model, loss: Any, weighting: Weighting, with_points: bool, engine: EngineAsked
) -> tuple[dde.Model, tuple[Term, ...]]:
    """Finds the loss terms with another model, so that this one does not change.

    Returns:
        The other model, compiled, and the terms.

    Raises:
        ValueError: If the model does not provide what the weighting and point weightings read.
    """
    other = StockModel(model.data, model.net)
    other.compile("sgd", lr=1.0, loss=loss, verbose=0)
    in_passes = takes_passes(engine, model.data, model.net)
    check_reads(other, weighting, with_points, in_passes)
    return other, find_terms(other, in_passes)


def _check_state(weighting: Weighting) -> None:
    """Raises a TypeError if a strategy has tensors that would not be in checkpoints."""
    for module in weighting.modules():
        for name, value in vars(module).items():
            if isinstance(value, torch.Tensor):
                raise TypeError(
                    f"{type(module).__name__}.{name} is a tensor that checkpoints would not hold: "
                    f"in `reset`, use self.register_buffer({name!r}, ...)."
                )


def _check_can_be_kept(before: TrainStep) -> None:
    """Raises a ValueError if the weights fit one iteration only, or one is negative."""
    instead = 'Give numbers, "equal" or another strategy instead.'
    weighting = before.weighting
    if not weighting.can_be_frozen:
        raise ValueError(
            f'"keep" can\'t keep the weights of {weighting.called}: they fit one iteration only. '
            f"{instead}"
        )
    negative = [name for name, weight in before.group_weights().items() if weight < 0]
    if negative:
        raise ValueError(
            f'"keep" can\'t keep the weights of {weighting.called}: those of '
            f"{', '.join(negative)} are negative now, and would make these losses ever larger. "
            f"{instead}"
        )


def _check_phase_before(model: dde.Model, before: TrainStep | None) -> None:
    """Raises a ValueError if there is no earlier phase whose weights could be kept."""
    to_restore = (
        "To go on with a checkpoint of a phase with kept weights, compile without loss_weights "
        "and restore it."
    )
    if model.opt is None:
        raise ValueError(
            '"keep" keeps the weights of the phase before, but this model has not been '
            f"compiled yet: compile it with a strategy and train it first. {to_restore}"
        )
    if before is not None and before.weighting.dynamic and not before.weighting.adapted:
        raise ValueError(
            '"keep" keeps the weights of the phase before, but this model has not been trained '
            f"since it was compiled: its weights are all 1. {to_restore}"
        )
