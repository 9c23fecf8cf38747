"""A cache of target values and boundary normals that is never stale.

DeepXDE 1.15 caches a condition's target values and boundary normals by the `id` of the array of
points. A new array often has the `id` of a deleted one, and then gets the values of the deleted
points. Targets that depend on a trainable ``dde.Variable`` never change (DeepXDE issue 2074).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

from .batch import condition_spans
from .no_trace import unchanged_random_states

#: Arrays of points in the cache of one condition. DeepXDE's batch and the gradient engines' own
#: arrays of the same points are one each; the parts of an array that share its memory are one.
_MAX_ARRAYS = 8


class _Entry(NamedTuple):
    """The values at a range of points.

    Args:
        X: The array of all points. While the entry exists, no other array can have its `id`.
        points: A copy of the range of points.
        values: The function's values at these points.
    """

    X: np.ndarray
    points: np.ndarray
    values: Tensor


class TargetCache:
    """A function of the points that is evaluated again only when the points change.

    Args:
        function: From points of shape (N, d) to a tensor of N values or rows of values.
    """

    def __init__(self, function: Callable[[np.ndarray], Tensor]):
        self.function = function
        self._live = False
        self._entries: dict[tuple[int, int, int], _Entry] = {}

    @property
    def live(self) -> bool:
        """Whether the values may change at unchanged points. Then nothing is cached."""
        return self._live

    @live.setter
    def live(self, live: bool) -> None:
        self._live = live
        if live:  # what was cached before may be another value by now
            self._entries.clear()

    def __call__(self, X: np.ndarray, beg: int, end: int, _: Any = None) -> Tensor:
        key = (id(X), beg, end)
        entry = self._entries.get(key)
        if entry is not None and np.array_equal(entry.points, X[beg:end]):
            return entry.values
        values = self.function(X[beg:end])
        if not (self.live or values.requires_grad):
            self._entries[key] = _Entry(X, X[beg:end].copy(), values)
            self._forget_oldest()
        return values

    def _forget_oldest(self) -> None:
        """Removes the entries of the oldest array of points, if there are too many arrays."""
        arrays = [_memory_of(entry.X) for entry in self._entries.values()]
        if len(set(arrays)) > _MAX_ARRAYS:
            keys = [
                key for key, array in zip(self._entries, arrays, strict=True) if array == arrays[0]
            ]
            for key in keys:
                del self._entries[key]


def _memory_of(array: np.ndarray) -> int:
    """The identity of the array that owns the memory of an array."""
    return id(array if array.base is None else array.base)


def new_caches(condition: Any) -> dict[str, TargetCache]:
    """An empty cache for each of a condition's functions that DeepXDE caches, by attribute."""
    caches = {}
    for name in _cached_by_deepxde(condition):
        cached = getattr(condition, name)
        if isinstance(cached, TargetCache):
            caches[name] = TargetCache(cached.function)
        elif len(inspect.signature(cached).parameters) == 1:
            # Only DeepXDE's own wrapper is removed; a decorator of the script stays. DeepXDE does
            # not cache a function of auxiliary variables.
            caches[name] = TargetCache(getattr(cached, "__wrapped__", cached))
    return caches


def mend_targets(problem: dde.data.PDE, variables: Sequence[Tensor]) -> None:
    """Replaces DeepXDE's cache by a :class:`TargetCache` in every condition of a problem.

    Args:
        problem: The data object that holds the conditions.
        variables: The trainable variables that targets may depend on.
    """
    for i, condition in enumerate(problem.bcs):
        for name, cache in new_caches(condition).items():
            cached = getattr(condition, name)
            if not isinstance(cached, TargetCache):
                cached = cache
                setattr(condition, name, cached)
            if name == "func":
                beg, end = condition_spans(problem)[i]
                points = problem.train_x_bc[beg:end]
                cached.live = _depends_on(cached.function, points, variables)


def _cached_by_deepxde(condition: Any) -> list[str]:
    """The names of the condition's attributes that DeepXDE wraps in a cache."""
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
    """Whether the function's values change with the variables, which are changed and restored."""
    if not variables or not len(points):
        return False

    def values() -> Tensor:
        with unchanged_random_states(variables):
            return function(points).clone()

    unchanged = values()
    if not torch.equal(unchanged, values()):
        return False  # the function draws noise, which DeepXDE evaluates once
    before = [variable.clone() for variable in variables]
    try:
        for variable in variables:
            variable.mul_(1.01).add_(0.01)
        return not torch.equal(unchanged, values())
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.copy_(value)
