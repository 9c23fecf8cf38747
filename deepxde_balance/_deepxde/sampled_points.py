"""The random samples of a data object: points, functions and mini-batches."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import deepxde as dde
import numpy as np
from deepxde.data.sampler import BatchSampler

from .batch import problem_of

_POINTS = (
    "anchors",
    "num_bcs",
    "train_x_all",
    "train_x_bc",
    "train_bc",
    "train_x",
    "train_y",
    "train_aux_vars",
    "test_x",
    "test_y",
    "test_aux_vars",
)

#: Data classes that sample their points. Other classes are given their points by the script.
_SAMPLING = (
    dde.data.PDE,
    dde.data.PDEOperator,
    dde.data.PDEOperatorCartesianProd,
    dde.data.Function,
)


def points(data: Any) -> dict[str, Any] | None:
    """The sampled points and functions of a data object; ``None`` if a script gave them to it."""
    if not isinstance(data, _SAMPLING):
        return None
    return {name: getattr(data, name) for name in _POINTS if hasattr(data, name)}


def put_back(data: Any, saved: dict[str, Any]) -> None:
    """Gives a data object the saved points of another one of its class.

    Warns if the numbers of points differ, or if the points can't be replaced. A
    ``dde.data.Function`` that was not trained yet has no points.

    Args:
        data: The data object.
        saved: What :func:`points` returned for the other one.
    """
    saved_shape, own_shape = _shape(saved["train_x"]), _shape(data.train_x)
    if isinstance(data, dde.data.FPDE):
        if saved_shape != own_shape or not np.array_equal(saved["train_x"], data.train_x):
            warnings.warn(
                "The checkpoint's training points are not put back: this "
                f"{type(data).__name__} has drawn others, and a matrix that belongs to them. "
                "Set the random seed before it is made, as the saved run did.",
                stacklevel=6,
            )
        return
    if saved_shape != own_shape and data.train_x is not None:
        warnings.warn(
            f"The checkpoint's training points, of shape {saved_shape}, replace the model's, "
            f"{own_shape}.",
            stacklevel=6,
        )
    for name, value in saved.items():
        own = getattr(data, name)
        value = _like(value, own)
        if not np.array_equal(value, own):
            setattr(data, name, value)


def _like(value: Any, own: Any) -> Any:
    """Arrays in the float types of the model's own: the checkpoint may have another precision."""
    if isinstance(value, (tuple, list)) and isinstance(own, type(value)) and len(value) == len(own):
        return type(value)(_like(one, mine) for one, mine in zip(value, own, strict=True))
    if isinstance(value, np.ndarray) and isinstance(own, np.ndarray):
        both_floats = value.dtype.kind == own.dtype.kind == "f"
        return value.astype(own.dtype, copy=False) if both_floats else value
    return value


def samplers(data: Any) -> Iterator[BatchSampler]:
    """The objects that draw the mini-batches of the data and of its conditions."""
    for owner in (data, *getattr(problem_of(data), "bcs", ())):
        yield from (value for value in vars(owner).values() if isinstance(value, BatchSampler))


def conditions_in_batches(data: Any) -> list[Any]:
    """The conditions that use a mini-batch of their points in each iteration."""
    bcs = getattr(problem_of(data), "bcs", ())
    return [bc for bc in bcs if hasattr(bc, "batch_indices")]


@contextmanager
def unchanged_samplers(data: Any) -> Iterator[None]:
    """Restores the samplers when the context ends, so that they draw the same batches again."""
    before = [(sampler, copy.deepcopy(vars(sampler))) for sampler in samplers(data)]
    try:
        yield
    finally:
        for sampler, state in before:
            vars(sampler).update(state)


def _shape(array: Any) -> Any:
    return tuple(map(_shape, array)) if isinstance(array, tuple) else np.shape(array)
