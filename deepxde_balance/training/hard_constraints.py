"""Conditions that the network fixes by construction, and that therefore get no weight."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

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
#: size. A change of a few rounding errors grows by the inverse of that root, some 1000 times in
#: single precision; others hardly grow, but within a hundredth of that distance from where the
#: network is fixed. The number is a convention.
_GROWTH = 100.0

#: Where no change is seen at all, points are moved by so much of the domain's size.
_FAR = 0.02

#: Batches of more points are not looked at: all of them go through the network at once.
_MOST_POINTS = 100_000


def weighed_groups(
    model: dde.Model, weighting: Weighting, groups: TermGroups, in_passes: bool
) -> TermGroups:
    """Takes conditions that the network fixes by construction out of the groups, with a warning.

    An output transform makes such hard constraints. A condition that is kept beside one can't be
    learned any further: its gradient is rounding, and it would get an enormous weight, at the cost
    of the other terms.

    Args:
        model: A compiled model.
        weighting: The weighting. Without a strategy, nothing is looked for.
        groups: The groups of its terms.
        in_passes: Whether the points are too many to be evaluated together; then nothing is looked
            for, either.

    Returns:
        The groups in which these conditions are unweighted; a group that had no others is gone.
    """
    if not weighting.dynamic or in_passes:
        return groups
    kept = {*groups.unweighted, *(groups.members[0] if groups.has_reference else ())}
    fixed = {i: s for i, s in hard_constraints(model, groups).items() if i not in kept}
    left = groups.without(fixed)
    if not fixed or not left.names:
        return groups
    names = [f"{groups.terms[i].name!r} (errors of {size:.0e})" for i, size in fixed.items()]
    warnings.warn(
        f"The network fixes {', '.join(names)} by construction (hard constraint): whatever its "
        "parameters are, these errors change by rounding only, so "
        f"{weighting.called} leaves such a condition at weight 1. If its errors are rounding, "
        "leave it out of the problem; if not, the network contradicts it, or its points lie too "
        "near to where the network is fixed.",
        stacklevel=4,
    )
    return left


def hard_constraints(model: dde.Model, groups: TermGroups) -> dict[int, float]:
    """Finds the conditions that the network fixes, whatever its parameters are.

    The trainable parameters are moved, and the change of each condition's errors is looked at: at
    the points, and with the network's inputs moved a little. A change that is rounding grows by
    orders of magnitude then; any other hardly does, in whatever units it is, be the condition met
    or not, unless its points lie almost where the network is fixed.

    Args:
        model: A compiled model. It does not change, nor do random states.
        groups: The groups of its terms.

    Returns:
        By the positions of their terms, the root mean squares of their errors. A condition whose
        gradient is exactly 0 is not among them: it needs no care.
    """
    problem = problem_of(model.data)
    conditions = [i for i, term in enumerate(groups.terms) if term.condition is not None]
    if problem is None or problem is not model.data or not conditions or problem.num_bcs is None:
        return {}  # the network of an operator takes functions, too
    if any(p.is_meta for p in model.net.parameters()):
        return {}  # a network without values
    auxiliary_vars = model.net.auxiliary_vars
    try:
        sizes = _sizes_of_fixed(model, problem)
    finally:
        model.net.auxiliary_vars = auxiliary_vars
        dde.gradients.clear()
    return {i: s for i, s in zip(conditions, sizes, strict=False) if s is not None}


def _sizes_of_fixed(model: dde.Model, problem: dde.data.PDE) -> list[float | None]:
    """The size of each condition's errors, ``None`` where the network does not fix them.

    Those whose gradient is exactly 0 are left out: any weight of theirs does nothing. The list is
    empty if there are too many points.
    """
    net, draw = model.net, torch.Generator().manual_seed(0)
    with no_trace(net), unchanged_samplers(problem):
        points, _, auxiliary = Batch(*problem.train_next_batch())
        if len(points) > _MOST_POINTS:
            return []
        epsilon: float = np.finfo(points.dtype).eps
        # Each coordinate for itself: the two points of a periodic condition must not move alike.
        shift = np.random.default_rng(0).choice([-1.0, -0.7, 0.7, 1.0], points.shape)
        shift *= np.ptp(points, axis=0)
        shares = 0, epsilon**0.5, _FAR
        inputs = [(points + share * shift).astype(points.dtype) for share in shares]
        if auxiliary is not None:
            net.auxiliary_vars = torch.as_tensor(auxiliary, device=next(net.parameters()).device)
        gradients = _gradients(model, problem, points)
        if not any(gradients):
            return [None] * len(gradients)
        before = [_errors(model, problem, at) for at in inputs]
        external = {id(v): v for errors in before[0] for v in errors.variables}
        parameters = [*(p for p in net.parameters() if p.requires_grad), *external.values()]
        after: list[list[list[_Errors]]] = []
        for _ in range(_MOVES):
            with moved(parameters, partial(_elsewhere, draw)):
                after.append([_errors(model, problem, at) for at in inputs])
    sizes: list[float | None] = []
    for k in range(len(problem.bcs)):
        here, there, far = (
            torch.stack([a[j][k].values - before[j][k].values for a in after]) for j in range(3)
        )
        size = float(before[0][k].values.square().mean().sqrt())
        sizes.append(size if gradients[k] and _grows(here, there, far) else None)
    return sizes


def _elsewhere(draw: torch.Generator, p: Tensor) -> Tensor:
    """A parameter at another place; one that is 0 throughout is moved as if it were about 1."""
    size = float(p.detach().double().square().mean().sqrt()) if p.numel() else 0.0
    return p + _MOVE * (size or 1.0) * torch.randn(p.shape, generator=draw, device="cpu").to(p)


def _gradients(model: dde.Model, problem: dde.data.PDE, points: np.ndarray) -> list[bool]:
    """Whether each condition has a gradient with respect to the network, however small."""
    trained = [p for p in model.net.parameters() if p.requires_grad]
    found = []
    for condition in _errors(model, problem, points, graph=True):
        errors = condition.values
        signed = errors.flatten() @ torch.linspace(1, 2, errors.numel()).to(errors)
        slopes = (
            torch.autograd.grad(signed, trained, retain_graph=True, allow_unused=True)
            if trained and signed.requires_grad
            else ()
        )
        found.append(any(slope is not None and bool(slope.any()) for slope in slopes))
    return found


class _Errors(NamedTuple):
    """The errors of a condition, and the external variables that they depend on."""

    values: Tensor
    variables: tuple[Tensor, ...]


def _errors(
    model: dde.Model, problem: dde.data.PDE, inputs: np.ndarray, graph: bool = False
) -> list[_Errors]:
    """Each condition's errors; nan where a script's function does not take these inputs.

    The conditions ask for the values at the problem's points, whatever the network gets.

    Args:
        model: The model.
        problem: Its data.
        inputs: What the network gets in the place of the points, shape (N, d).
        graph: Whether the errors are to be differentiated.
    """
    dde.gradients.clear()
    model.net.train()
    x = torch.as_tensor(inputs, device=next(model.net.parameters()).device).requires_grad_()
    known = {id(x), *map(id, model.net.parameters())}
    u, found = None, []
    for condition, (beg, end) in zip(problem.bcs, condition_spans(problem), strict=True):
        try:
            u = model.net(x) if u is None else u
            errors = condition.error(problem.train_x, x, u, beg, end)
        except Exception:  # it takes the points themselves, which `find_terms` has tried
            found.append(_Errors(torch.tensor(math.nan).double(), ()))
            continue
        variables = tuple(leaf for leaf in _leaves(errors) if id(leaf) not in known)
        errors = errors if graph else errors.detach()
        found.append(_Errors(errors.double(), variables))
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


def _grows(here: Tensor, there: Tensor, far: Tensor) -> bool:
    """Whether changes are rounding errors: larger by far a little off, of those that are finite.

    Changes that vanish beside a large value, as 1e-7 beside 300, show farther off only.
    """
    if here.shape != there.shape or here.shape != far.shape:
        return False
    both = here.isfinite() & there.isfinite()
    if bool(there[both].norm() > _GROWTH * here[both].norm()):
        return True
    return bool((here == 0).all() and far[far.isfinite()].any())
