"""One look at a model's loss terms: losses, gradients and weights by group, without training it."""

from __future__ import annotations

from typing import NamedTuple

import deepxde as dde
import torch
from torch import Tensor

from .engine import choose_engine
from .gradients import Batch, GradientEngine
from .group_gradients import GroupGradients
from .probe import find_terms, no_trace
from .step import TrainStep
from .terms import LossGroups, group_terms


class Observation(NamedTuple):
    """What one evaluation of a model on its training points shows.

    Args:
        names: Names of the groups, the reference first.
        losses: Unweighted losses of the groups, shape (K,).
        gradients: Their gradients with respect to the network's parameters.
        weights: The weights applied now, shape (K,).
    """

    names: tuple[str, ...]
    losses: Tensor
    gradients: GroupGradients
    weights: Tensor


def observe(model: dde.Model, loss_groups: LossGroups | None = None) -> Observation:
    """Evaluates the losses and gradients of a compiled model; nothing in it changes.

    Args:
        model: A compiled model, ours or DeepXDE's.
        loss_groups: Which terms share a row, see :meth:`deepxde_balance.Model.compile`; by
            default the groups of the strategy at work, or else every term by itself.

    Raises:
        ValueError: If the groups don't fit the conditions.
    """
    step = getattr(model, "train_step", None)
    if isinstance(step, TrainStep) and loss_groups is None:
        engine, weights = step.engine, step.weighting.weights
    else:
        engine = _engine_for(model, loss_groups)
        weights = next(model.net.parameters()).new_ones(len(engine.groups.names))
    state = model.train_state
    if state.X_train is None:
        state.set_data_train(*model.data.train_next_batch(model.batch_size))
    batch = Batch(state.X_train, state.y_train, state.train_aux_vars)
    with no_trace(model.net), torch.enable_grad():
        computed = engine.gradients(batch)
    names = engine.groups.names
    losses = torch.stack([loss.detach() for loss in engine.row_losses(list(computed.losses))])
    return Observation(
        names, losses[: len(names)], computed.of_network(len(names)), weights.detach().clone()
    )


def _engine_for(model: dde.Model, loss_groups: LossGroups | None) -> GradientEngine:
    groups = group_terms(find_terms(model), loss_groups)
    return choose_engine(model, groups, [1.0] * len(groups.terms))
