"""From what `compile` is given as weights and groups to the training step that applies them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import deepxde as dde
import numpy as np
import torch

from . import weightings
from .engine import EngineName
from .probe import find_terms
from .step import TrainStep, keep_step, start_step
from .terms import LossGroups, Term, check_length, group_terms, ungrouped
from .weightings import Equal, Fixed, Keep, Weighting
from .weightings._checks import factor, is_number

if TYPE_CHECKING:
    from .model import Model

LossWeights = str | Weighting | Sequence[float] | np.ndarray | torch.Tensor | None


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
        numbers = _checked_numbers(loss_weights)
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
    groups = group_terms(_find_terms(model, loss), loss_groups)
    return start_step(model, weighting, groups, engine), None


def _find_terms(model: Model, loss: Any) -> tuple[Term, ...]:
    """The loss terms, found with another model, so that an error leaves this one as it was."""
    other = dde.Model(model.data, model.net)
    other.compile("sgd", lr=1.0, loss=loss, verbose=0)
    return find_terms(other)


def _kept(model: Model, engine: EngineName | None) -> tuple[TrainStep | None, list[float] | None]:
    """What :func:`prepare` gives for the weights of the phase before."""
    if model.opt is None:
        raise ValueError(
            '"keep" keeps the weights of the phase before, but this model has not been '
            "compiled yet: compile it with a strategy and train it first."
        )
    if model._step is None:
        return None, None
    if model._step.weighting.dynamic and not model._step.weighting.adapted:
        raise ValueError(
            '"keep" keeps the weights of the phase before, but this model has not been trained '
            "since it was compiled: its weights are all 1."
        )
    before = model._step.engine
    step = keep_step(model, before.groups, before.scale, model._step.weighting.weights, engine)
    return step, model.loss_weights


def _checked_numbers(loss_weights: Any) -> list[float]:
    """A list of floats from what was given as `loss_weights`."""
    if isinstance(loss_weights, (np.ndarray, torch.Tensor)):
        loss_weights = loss_weights.tolist()
    if not isinstance(loss_weights, (list, tuple)) or not all(map(is_number, loss_weights)):
        raise TypeError(
            f"loss_weights={loss_weights!r} is not allowed: give the name of a strategy "
            f"({', '.join(weightings.names())}), a weighting object, a list of numbers or None."
        )
    return [factor(f"loss_weights[{i}]", w) for i, w in enumerate(loss_weights)]
