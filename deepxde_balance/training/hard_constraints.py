"""Conditions that the network meets by construction, and that therefore get no weight."""

from __future__ import annotations

import math
import warnings
from functools import partial

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

from .._deepxde.batch import Batch, condition_spans, problem_of
from .._deepxde.no_trace import no_trace
from .._deepxde.sampled_points import unchanged_samplers
from ..gradients.rounding import moved
from ..terms.groups import TermGroups
from ..weightings import Weighting

#: Each parameter is moved by so much of the root mean square of its tensor.
_MOVE = 0.1

#: A condition is met by construction if its errors grow by more than this factor when the points
#: move by the root of the machine epsilon of the domain's size. Errors of a few rounding errors
#: grow by some 1000 in single precision; others by a percent, if the solution is that steep.
_GROWTH = 10.0

#: Batches of more points are not looked at: all of them go through the network at once.
_MOST_POINTS = 100_000


def weighed_groups(model: dde.Model, weighting: Weighting, groups: TermGroups) -> TermGroups:
    """Takes conditions that the network meets by construction out of the groups, with a warning.

    An output transform makes such hard constraints. The loss of a condition that is kept beside
    one is nothing but rounding, and would get an enormous weight, at the cost of the other terms.

    Args:
        model: A compiled model.
        weighting: The weighting. Without a strategy, nothing is looked for.
        groups: The groups of its terms.

    Returns:
        The groups in which these conditions are unweighted; a group that had no others is gone.

    Raises:
        ValueError: If nothing else is left for a strategy to weigh.
    """
    if not weighting.dynamic:
        return groups
    met = [i for i in met_by_construction(model, groups) if i not in groups.unweighted]
    if not met:
        return groups
    what, it = ("condition", "it") if len(met) == 1 else ("conditions", "them")
    names = ", ".join(repr(groups.terms[i].name) for i in met)
    found = (
        f"The network meets the {what} {names} by construction (hard constraint): the loss is "
        "nothing but rounding"
    )
    left = groups.without(met)
    if len(left.names) < 2:
        raise ValueError(
            f"{found}. With that, {weighting.called} has nothing to weigh: leave the {what} out "
            'and use loss_weights="equal"; with several PDE residuals, loss_groups={"pde": [0]} '
            "makes the first the reference and weighs the others."
        )
    warnings.warn(
        f"{found}, so {weighting.called} leaves {it} at weight 1. You may leave the {what} out.",
        stacklevel=4,
    )
    return left


def met_by_construction(model: dde.Model, groups: TermGroups) -> list[int]:
    """Finds the conditions that the network meets whatever its parameters are.

    At other parameters, so that what has been learned does not count, their errors are looked at
    twice: at the points, and with the network's inputs moved a little. A rounding error grows by
    orders of magnitude then; any other error hardly changes, in whatever units it is.

    Args:
        model: A compiled model. It does not change, nor do random states.
        groups: The groups of its terms.

    Returns:
        The positions of their terms.
    """
    problem = problem_of(model.data)
    conditions = [i for i, term in enumerate(groups.terms) if term.condition is not None]
    if problem is None or problem is not model.data or not conditions or problem.num_bcs is None:
        return []  # the network of an operator takes functions, too
    try:
        here, there = _sizes_of_errors(model, problem)
    except Exception:  # a script's function that takes no other inputs: its condition is weighed
        return []
    sizes = zip(conditions, here, there, strict=False)  # none if there are too many points
    return [i for i, at_points, moved_a_little in sizes if moved_a_little > _GROWTH * at_points]


def _sizes_of_errors(model: dde.Model, problem: dde.data.PDE) -> tuple[list[float], list[float]]:
    """The size of each condition's errors at other parameters: at its points, and a little off."""
    net, auxiliary_vars = model.net, model.net.auxiliary_vars
    draw = torch.Generator().manual_seed(0)
    with (
        no_trace(net),
        unchanged_samplers(problem),
        moved(list(net.parameters()), partial(_elsewhere, draw)),
    ):
        points, _, auxiliary = Batch(*problem.train_next_batch())
        if len(points) > _MOST_POINTS:
            return [], []
        epsilon: float = np.finfo(points.dtype).eps
        # Each coordinate for itself: the two points of a periodic condition must not move alike.
        shift = np.random.default_rng(0).choice([-1.0, -0.7, 0.7, 1.0], points.shape)
        shift *= epsilon**0.5 * np.ptp(points, axis=0)
        if auxiliary is not None:
            net.auxiliary_vars = torch.as_tensor(auxiliary, device=next(net.parameters()).device)
        try:
            here = _sizes_at(model, problem, points)
            return here, _sizes_at(model, problem, (points + shift).astype(points.dtype))
        finally:
            net.auxiliary_vars = auxiliary_vars
            dde.gradients.clear()


def _elsewhere(draw: torch.Generator, p: Tensor) -> Tensor:
    """A parameter at another place; one that is 0 throughout is moved as if it were about 1."""
    size = float(p.detach().double().square().mean().sqrt()) if p.numel() else 0.0
    return p + _MOVE * (size or 1.0) * torch.randn(p.shape, generator=draw).to(p)


def _sizes_at(model: dde.Model, problem: dde.data.PDE, inputs: np.ndarray) -> list[float]:
    """The root mean square of each condition's errors, of those that are finite.

    The conditions ask for the values at the problem's points, whatever the network gets.

    Args:
        model: The model.
        problem: Its data.
        inputs: What the network gets in the place of the points, shape (N, d).
    """
    dde.gradients.clear()
    model.net.train()
    x = torch.as_tensor(inputs, device=next(model.net.parameters()).device).requires_grad_()
    u = model.net(x)
    sizes = []
    for condition, (beg, end) in zip(problem.bcs, condition_spans(problem), strict=True):
        errors = condition.error(problem.train_x, x, u, beg, end).detach().double()
        errors = errors[errors.isfinite()]
        sizes.append(float(errors.square().mean().sqrt()) if errors.numel() else math.inf)
    return sizes
