"""Targets and test points that are never stale.

DeepXDE 1.15 caches a condition's target values and boundary normals by the `id` of the points. A
new array of points often has the `id` of one that is gone, and then gets that one's values; and
targets that depend on a trainable ``dde.Variable`` stay what they were at first (its issue 2074).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

from .no_trace import kept_random_states

#: Arrays of points whose values are kept, per condition: DeepXDE's batch and our own slices of it.
_KEPT = 8


class _Kept(NamedTuple):
    """Values, with the array of points that they belong to and what was in it."""

    X: np.ndarray
    points: np.ndarray
    values: Tensor


class TargetCache:
    """Values of a function of the points, kept for as long as the points are the same.

    Args:
        function: From points of shape (N, d) to a tensor of their values.
    """

    def __init__(self, function: Callable[[np.ndarray], Tensor]):
        self.function = function
        #: Whether the values change while the points do not; then nothing is kept.
        self.live = False
        self._kept: dict[tuple[int, int, int], _Kept] = {}

    def __call__(self, X: np.ndarray, beg: int, end: int, _: Any = None) -> Tensor:
        key = (id(X), beg, end)
        kept = self._kept.get(key)  # which holds X, so no other array can have its id
        if kept is not None and np.array_equal(kept.points, X[beg:end]):
            return kept.values
        values = self.function(X[beg:end])
        if not (self.live or values.requires_grad):
            self._kept[key] = _Kept(X, X[beg:end].copy(), values)
            if len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
        return values


def mend_targets(problem: dde.data.PDE, variables: Sequence[Tensor]) -> None:
    """Puts a :class:`TargetCache` in place of DeepXDE's in every condition of a problem.

    Args:
        problem: The data object that holds the conditions.
        variables: The trainable variables that targets may depend on.
    """
    for i, condition in enumerate(problem.bcs):
        for name in _cached_by_deepxde(condition):
            cached = getattr(condition, name)
            if not isinstance(cached, TargetCache):
                if len(inspect.signature(cached).parameters) != 1:
                    continue  # a function of auxiliary variables too: DeepXDE does not cache it
                cached = TargetCache(_one_layer_down(cached))
                setattr(condition, name, cached)
            if name == "func":
                start = sum(problem.num_bcs[:i])
                points = problem.train_x_bc[start : start + problem.num_bcs[i]]
                cached.live = _depends_on(cached.function, points, variables)


def _one_layer_down(wrapper: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function that DeepXDE's cache wraps; what the user has wrapped stays so."""
    function: Callable[..., Tensor] = inspect.unwrap(
        wrapper, stop=lambda function: function is not wrapper
    )
    return function


def _cached_by_deepxde(condition: Any) -> list[str]:
    names = []
    valued = (
        dde.icbc.DirichletBC,
        dde.icbc.NeumannBC,
        dde.icbc.IC,
        dde.icbc.Interface2DBC,
    )
    if isinstance(condition, valued):
        names.append("func")
    if isinstance(condition, (dde.icbc.BC, dde.icbc.Interface2DBC)):
        names.append("boundary_normal")
    return names


@torch.no_grad()
def _depends_on(
    function: Callable[[np.ndarray], Tensor], points: np.ndarray, variables: Sequence[Tensor]
) -> bool:
    """Whether the function's values change when the variables do: tried out, and put back."""
    if not variables or not len(points):
        return False

    def values() -> Tensor:
        with kept_random_states(variables):
            return function(points).clone()

    there = values()
    if not torch.equal(there, values()):
        return False  # noise of its own, which DeepXDE draws once
    before = [variable.clone() for variable in variables]
    try:
        for variable in variables:
            variable.mul_(1.01).add_(0.01)
        return not torch.equal(there, values())
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.copy_(value)
