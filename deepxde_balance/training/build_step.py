"""From what `compile` is given as weights and groups to the training step that applies them."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import deepxde as dde
import numpy as np
import torch

from .. import weightings
from .._checks import factor, is_number
from .._deepxde.batch import problem_of
from ..gradients.base import GradientEngine
from ..gradients.choose import EngineName, choose_engine
from ..terms.find_terms import find_terms
from ..terms.groups import LossGroups, TermGroups, group_terms, ungrouped
from ..terms.term import Term, check_length
from ..weightings import SA, Equal, Fixed, Keep, StrategyName, Weighting
from ..weightings.base import FromKernel
from .point_step import PointwiseStep, check_squares
from .step import TrainStep

if TYPE_CHECKING:
    from ..model import Model

LossWeights = StrategyName | Weighting | Sequence[float] | np.ndarray | torch.Tensor | None


def prepare(
    model: Model,
    loss_weights: LossWeights,
    loss_groups: LossGroups | None,
    loss: Any,
    engine: EngineName | None,
) -> tuple[TrainStep | None, list[float] | None]:
    """The step of a strategy, and the numbers that DeepXDE is to weigh its losses with."""
    if loss_weights is None:
        loss_weights = "equal"
    if not isinstance(loss_weights, (str, Weighting)):
        numbers = checked_numbers(loss_weights)
        if loss_groups is not None:
            raise ValueError(
                "A list of numbers weighs each loss term by itself: leave loss_groups out."
            )
        terms = _find_terms(model, loss)
        check_length("loss_weights", numbers, terms)
        return start_step(model, Fixed(numbers), ungrouped(terms), engine), numbers
    weighting = copy.deepcopy(weightings.get(loss_weights))
    if isinstance(weighting, Keep):
        if loss_groups is not None:
            raise ValueError('"keep" keeps the groups of the phase before: leave loss_groups out.')
        return _kept(model, engine)
    if isinstance(weighting, Equal) and loss_groups is None and weighting.scale is None:
        return None, None  # nothing to find out before training
    groups = group_terms(_find_terms(model, loss, weighting), loss_groups)
    return start_step(model, weighting, groups, engine), None


def start_step(
    model: dde.Model,
    weighting: Weighting,
    groups: TermGroups,
    engine: EngineName | None = None,
) -> TrainStep:
    """A training step that starts afresh: all weights 1, no update made yet.

    Args:
        model: The model; it need not be compiled yet.
        weighting: The weighting; it is reset.
        groups: The groups of its loss terms.
        engine: The gradient engine; ``None`` chooses it.

    Raises:
        ValueError: If the weighting can't balance these groups.
    """
    problem = problem_of(model.data)
    told_apart = problem is not None and (
        not problem.bcs or any(term.condition is not None for term in groups.terms)
    )
    if weighting.dynamic and not told_apart and len(groups.names) < 2:
        raise ValueError(
            f"{type(model.data).__name__} gives {len(groups.terms)} loss(es), not told apart as "
            "PDE residuals and conditions. With several, choose the reference by "
            'loss_groups={"pde": [0]}; with one, use loss_weights="equal".'
        )
    if weighting.dynamic and not groups.members[0]:
        raise ValueError(
            "There is no PDE residual, so the weights have no reference. Use "
            'loss_weights="equal" or a list of numbers.'
        )
    if isinstance(weighting, (SA, FromKernel)):
        _check_errors(model.data, weighting)
    weighting.check(groups.names)
    scale = groups.scale_factors(weighting.scale)
    weighting.reset(len(groups.names), like=next(model.net.parameters()).detach())
    engine = _engine_for(weighting, engine)
    return step_with(model, weighting, choose_engine(model, groups, scale, engine))


def keep_step(
    model: dde.Model,
    groups: TermGroups,
    scale: Sequence[float],
    before: Weighting,
    engine: EngineName | None = None,
) -> TrainStep:
    """A training step with the weights of the phase before, frozen.

    Args:
        model: The model; it need not be compiled yet.
        groups: The groups of its loss terms.
        scale: One static factor per term.
        before: The weighting of the phase before; its weights are copied.
        engine: The gradient engine; ``None`` chooses it.
    """
    kept: Weighting
    if isinstance(before, SA):
        kept = before.frozen()
    else:
        kept = Keep()
        kept.reset(len(groups.names), like=before.weights)
        kept.weights = before.weights.clone()
    engine = _engine_for(kept, engine)
    return step_with(model, kept, choose_engine(model, groups, scale, engine))


def restored_keep_step(
    model: dde.Model, saved: Mapping[str, Any], engine: EngineName | None
) -> TrainStep:
    """A training step for weights that a phase had kept when it was saved.

    Args:
        model: A compiled model.
        saved: What its checkpoint says of the weighting; the weights are yet to be loaded.
        engine: The gradient engine; ``None`` chooses it.
    """
    terms = find_terms(model)
    position = {term.name: i for i, term in enumerate(terms)}
    members = tuple(tuple(position[name] for name in own) for own in saved["groups"].values())
    unweighted = tuple(position[name] for name in saved["unweighted"])
    groups = TermGroups(terms, tuple(saved["groups"]), members, unweighted)
    kept: Weighting = SA().frozen() if saved["strategy"] == "SA" else Keep()
    vars(kept).update(saved["hyperparameters"])
    kept.reset(len(members), like=next(model.net.parameters()).detach())
    engine = _engine_for(kept, engine)
    return step_with(model, kept, choose_engine(model, groups, saved["scale"], engine))


def with_numbers(
    model: Model, step: TrainStep, numbers: list[float] | None, engine: EngineName | None
) -> TrainStep:
    """The step with the numbers that a script has set as `model.loss_weights` since it was made.

    DeepXDE multiplies its losses with what is there in each evaluation.

    Args:
        model: The model.
        step: Its step.
        numbers: The numbers, one per term; ``None`` for weight 1 for all.
        engine: The gradient engine; ``None`` chooses it.

    Raises:
        ValueError: If the step's weights are a strategy's, or the number is not that of the terms.
    """
    if not isinstance(step.weighting, (Equal, Fixed)):
        raise ValueError(
            f"model.loss_weights was set to {numbers}, but the weights of this model are those of "
            f"{step.weighting.strategy}: compile it with the list of numbers instead, or give "
            "static factors to the weighting's `scale`."
        )
    terms = step.engine.groups.terms
    if numbers is None:
        return start_step(model, Equal(), group_terms(terms), engine)
    check_length("loss_weights", numbers, terms)
    if not isinstance(step.weighting, Fixed):
        return start_step(model, Fixed(numbers), ungrouped(terms), engine)
    step.weighting.change(numbers)
    return step


def step_with(model: dde.Model, weighting: Weighting, engine: GradientEngine) -> TrainStep:
    """The kind of training step that a weighting needs."""
    if isinstance(weighting, SA):
        return PointwiseStep(model, weighting, engine)
    return TrainStep(model, weighting, engine)


def _engine_for(weighting: Weighting, engine: EngineName | None) -> EngineName | None:
    """The engine that was asked for, where the weighting can use it."""
    if engine == "compiled" and isinstance(weighting, SA):
        warnings.warn(
            'Weights per point ("sa") are inside the losses, which gradient_engine="compiled" '
            "does not compile: they are computed uncompiled, which gives the same.",
            stacklevel=2,
        )
        return None
    return engine


def check_optimizer(weighting: Weighting, optimizer: str | torch.optim.Optimizer) -> None:
    """Raises a ValueError if the weighting can't work beside an optimizer, by its name or itself.

    An optimizer that is yet to be made is taken to work, but for L-BFGS and NNCG.
    """
    if optimizer in ("L-BFGS", "L-BFGS-B", "NNCG"):
        optimizer = torch.optim.LBFGS([torch.zeros(1, requires_grad=True)])
    if isinstance(optimizer, torch.optim.Optimizer):
        weighting.attach(optimizer)


def _check_errors(data: dde.data.Data, weighting: Weighting) -> None:
    """Raises a ValueError if the losses are not made of errors at points."""
    own = not isinstance(data, dde.data.PDE) or type(data).losses is not dde.data.PDE.losses
    if own or "losses" in vars(data):
        raise ValueError(
            f"{type(weighting).__name__} needs the errors at the points, which only "
            f"dde.data.PDE and TimePDE tell, not {type(data).__name__} with losses of its own."
        )


def _find_terms(model: Model, loss: Any, weighting: Weighting | None = None) -> tuple[Term, ...]:
    """The loss terms, found with another model, so that an error leaves this one as it was."""
    other = dde.Model(model.data, model.net)
    other.compile("sgd", lr=1.0, loss=loss, verbose=0)
    if isinstance(weighting, SA):
        _check_errors(model.data, weighting)
        check_squares(other)
    return find_terms(other)


def _kept(model: Model, engine: EngineName | None) -> tuple[TrainStep | None, list[float] | None]:
    """What :func:`prepare` gives for the weights of the phase before."""
    if model.opt is None:
        raise ValueError(
            '"keep" keeps the weights of the phase before, but this model has not been '
            "compiled yet: compile it with a strategy and train it first. To go on with a "
            "checkpoint of a phase with kept weights, compile without loss_weights and restore it."
        )
    if model._step is None:
        return None, model.loss_weights
    if model._step.weighting.dynamic and not model._step.weighting.adapted:
        raise ValueError(
            '"keep" keeps the weights of the phase before, but this model has not been trained '
            "since it was compiled: its weights are all 1. To go on with a checkpoint of a phase "
            "with kept weights, compile without loss_weights and restore it."
        )
    before, weighting = model._step.engine, model._step.weighting
    return keep_step(model, before.groups, before.scale, weighting, engine), model.loss_weights


def checked_numbers(loss_weights: Any) -> list[float]:
    """A list of floats from what was given as `loss_weights`."""
    if isinstance(loss_weights, (np.ndarray, torch.Tensor)):
        loss_weights = loss_weights.tolist()
    if not isinstance(loss_weights, (list, tuple)) or not all(map(is_number, loss_weights)):
        raise TypeError(
            f"loss_weights={loss_weights!r} is not allowed: give the name of a strategy "
            f"({', '.join(weightings.names())}), a weighting object, a list of numbers or None."
        )
    return [factor(f"loss_weights[{i}]", w) for i, w in enumerate(loss_weights)]
