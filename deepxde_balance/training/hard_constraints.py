"""Conditions that the network fixes by construction, and that therefore get no weight."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
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
_MOVE = 0.3

#: So many times, each time to another place: a condition at one point may hardly change by chance.
_MOVES = 5

#: The network fixes a condition if a move of the parameters changes its errors by more than so many
#: times more when the points are moved, too, by the root of the machine epsilon of the domain's
#: size. A change of a few rounding errors grows by some 1000 in single precision; others, on the
#: problems of the benchmarks, by a factor of 1.4 at most.
_GROWTH = 10.0

#: Batches of more points are not looked at: all of them go through the network at once.
_MOST_POINTS = 100_000


def weighed_groups(model: dde.Model, weighting: Weighting, groups: TermGroups) -> TermGroups:
    """Takes conditions that the network fixes by construction out of the groups, with a warning.

    An output transform makes such hard constraints. A condition that is kept beside one can't be
    learned any further: its gradient is rounding, and it would get an enormous weight, at the cost
    of the other terms.

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
    found = hard_constraints(model, groups)
    fixed = {i: size for i, size in found.items() if i not in groups.unweighted}
    if not fixed:
        return groups
    what, it = ("condition", "it") if len(fixed) == 1 else ("conditions", "them")
    names = ", ".join(f"{groups.terms[i].name!r} (errors of {fixed[i]:.0e})" for i in fixed)
    text = (
        f"The network fixes the {what} {names} by construction (hard constraint): whatever its "
        "parameters are, the errors change by rounding only"
    )
    left = groups.without(fixed)
    if len(left.names) < 2:
        raise ValueError(
            f"{text}. With that, {weighting.called} has nothing to weigh: leave the {what} out "
            'and use loss_weights="equal"; with several PDE residuals, loss_groups={"pde": [0]} '
            "makes the first the reference and weighs the others."
        )
    warnings.warn(
        f"{text}, so {weighting.called} leaves {it} at weight 1. You may leave the {what} out.",
        stacklevel=4,
    )
    return left


def hard_constraints(model: dde.Model, groups: TermGroups) -> dict[int, float]:
    """Finds the conditions that the network fixes, whatever its parameters are.

    The parameters are moved, and the change of each condition's errors is looked at twice: at the
    points, and with the network's inputs moved a little. A change that is rounding grows by orders
    of magnitude then; any other hardly does, in whatever units it is, be the condition met or not.

    Args:
        model: A compiled model. It does not change, nor do random states.
        groups: The groups of its terms.

    Returns:
        By the positions of their terms, the root mean squares of their errors.
    """
    problem = problem_of(model.data)
    conditions = [i for i, term in enumerate(groups.terms) if term.condition is not None]
    if problem is None or problem is not model.data or not conditions or problem.num_bcs is None:
        return {}  # the network of an operator takes functions, too
    auxiliary_vars = model.net.auxiliary_vars
    try:
        sizes = _sizes_of_fixed(model, problem)
    except Exception:  # a script's function that takes no other inputs: its condition is weighed
        return {}
    finally:
        model.net.auxiliary_vars = auxiliary_vars
        dde.gradients.clear()
    return {i: s for i, s in zip(conditions, sizes, strict=False) if s is not None}


def _sizes_of_fixed(model: dde.Model, problem: dde.data.PDE) -> list[float | None]:
    """The size of each condition's errors, ``None`` where the network does not fix them.

    The list is empty if there are too many points.
    """
    net, draw = model.net, torch.Generator().manual_seed(0)
    with no_trace(net), unchanged_samplers(problem):
        points, _, auxiliary = Batch(*problem.train_next_batch())
        if len(points) > _MOST_POINTS:
            return []
        epsilon: float = np.finfo(points.dtype).eps
        # Each coordinate for itself: the two points of a periodic condition must not move alike.
        shift = np.random.default_rng(0).choice([-1.0, -0.7, 0.7, 1.0], points.shape)
        shift *= epsilon**0.5 * np.ptp(points, axis=0)
        inputs = points, (points + shift).astype(points.dtype)
        if auxiliary is not None:
            net.auxiliary_vars = torch.as_tensor(auxiliary, device=next(net.parameters()).device)
        before = [_errors(model, problem, at) for at in inputs]
        after: list[list[list[Tensor]]] = []
        for _ in range(_MOVES):
            with moved(list(net.parameters()), partial(_elsewhere, draw)):
                after.append([_errors(model, problem, at) for at in inputs])
    sizes: list[float | None] = []
    for k in range(len(problem.bcs)):
        here, there = (torch.stack([a[j][k] - before[j][k] for a in after]) for j in (0, 1))
        errors = before[0][k]
        sizes.append(float(errors.square().mean().sqrt()) if _is_larger(there, here) else None)
    return sizes


def _elsewhere(draw: torch.Generator, p: Tensor) -> Tensor:
    """A parameter at another place; one that is 0 throughout is moved as if it were about 1."""
    size = float(p.detach().double().square().mean().sqrt()) if p.numel() else 0.0
    return p + _MOVE * (size or 1.0) * torch.randn(p.shape, generator=draw).to(p)


def _errors(model: dde.Model, problem: dde.data.PDE, inputs: np.ndarray) -> list[Tensor]:
    """Each condition's errors; nan for one that an external variable can change.

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
    known = {id(x), *map(id, model.net.parameters())}
    found = []
    for condition, (beg, end) in zip(problem.bcs, condition_spans(problem), strict=True):
        errors = condition.error(problem.train_x, x, u, beg, end)
        others = any(id(leaf) not in known for leaf in _leaves(errors))
        found.append(torch.full_like(errors, math.nan) if others else errors.detach().double())
    return found


def _leaves(tensor: Tensor) -> Iterator[Tensor]:
    """The tensors with a gradient that a tensor was computed from."""
    nodes, seen = [tensor.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        nodes += [following for following, _ in node.next_functions]


def _is_larger(there: Tensor, here: Tensor) -> bool:
    """Whether changes are larger by far, of those that are finite."""
    both = there.isfinite() & here.isfinite()
    return bool(there[both].norm() > _GROWTH * here[both].norm())
