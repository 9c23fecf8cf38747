"""Curves from the objects that have them: records of runs, models, loss histories, monitors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import singledispatch
from typing import Any, NamedTuple

import deepxde as dde
import numpy as np

from ..callbacks.gradient_monitor import GradientMonitor
from ..diagnostics.gradient_log import GradientLog
from ..model import Model
from ..results.record import Record


class Curves(NamedTuple):
    """Curves over the iterations.

    Args:
        steps: The iterations, shape (S,).
        values: The values at these iterations by name, each of shape (S,).
    """

    steps: np.ndarray
    values: dict[str, np.ndarray]


@singledispatch
def losses(source: Any) -> Curves:
    """The losses by term, or by group from a monitor.

    They are unweighted, except those of a model that was compiled with a list of numbers.

    Args:
        source: A :class:`~deepxde_balance.results.record.Record`; a
            :class:`~deepxde_balance.Model`; a model's `losshistory`, which does not know the
            names of the terms; a :class:`~deepxde_balance.GradientMonitor` or its CSV file; or a
            mapping from names to values at steps 0, 1, ...

    Raises:
        TypeError: If `source` is something else.
        ValueError: If the curves differ in length.
    """
    raise _no_source(source)


@losses.register
def _(source: Record) -> Curves:
    return Curves(source.steps, dict(source.losses))


@losses.register
def _(source: Model) -> Curves:
    curves = losses(source.losshistory)
    names = [*source.loss_terms, "regularization"]
    return Curves(curves.steps, dict(zip(names, curves.values.values(), strict=False)))


@losses.register
def _(source: dde.model.LossHistory) -> Curves:
    columns = np.array(source.loss_train, dtype=float).T
    return Curves(np.array(source.steps), {f"loss {i}": c for i, c in enumerate(columns)})


@losses.register(Mapping)
def _(source: Mapping[str, Any]) -> Curves:
    return mapping(source)


@losses.register(GradientMonitor)
@losses.register(GradientLog)
@losses.register(str)
@losses.register(os.PathLike)
def _(source: Any) -> Curves:
    log = gradient_log(source)
    return mapping(log.losses, log.steps)


@singledispatch
def weights(source: Any) -> Curves:
    """The applied weights by group.

    Args:
        source: As in :func:`losses`.

    Raises:
        TypeError: If `source` is something else.
        ValueError: If the curves differ in length.
    """
    raise _no_source(source)


@weights.register
def _(source: Record) -> Curves:
    return Curves(source.steps, dict(source.loss_weights))


@weights.register
def _(source: Model) -> Curves:
    return weights(source.losshistory)


@weights.register
def _(source: dde.model.LossHistory) -> Curves:
    rows = getattr(source, "loss_weights", [])
    names = dict.fromkeys(name for row in rows for name in row)
    values = {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}
    return Curves(np.array(source.steps), values)


@weights.register(Mapping)
def _(source: Mapping[str, Any]) -> Curves:
    return mapping(source)


@weights.register(GradientMonitor)
@weights.register(GradientLog)
@weights.register(str)
@weights.register(os.PathLike)
def _(source: Any) -> Curves:
    log = gradient_log(source)
    return mapping(log.weights, log.steps)


def gradient_log(source: Any) -> GradientLog:
    """The observations of a monitor.

    Args:
        source: The monitor, its log, or the path of its CSV file.

    Raises:
        TypeError: If `source` is something else.
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not the CSV of a monitor.
    """
    if isinstance(source, GradientMonitor):
        return source.log
    if isinstance(source, GradientLog):
        return source
    if isinstance(source, (str, os.PathLike)):
        return GradientLog.read(source)
    raise TypeError(
        f"{type(source).__name__} has no gradients: give a GradientMonitor or its CSV file, or "
        "the iterations and the values by name."
    )


def mapping(source: Mapping[str, Any], steps: Any = None) -> Curves:
    """Curves from plain values.

    Args:
        source: The values by name, each of shape (S,).
        steps: The iterations, shape (S,); 0, 1, ... by default.

    Raises:
        ValueError: If values and steps differ in length.
    """
    values = {str(name): np.asarray(v, dtype=float) for name, v in source.items()}
    if steps is None:
        steps = np.arange(max((len(v) for v in values.values()), default=0))
    steps = np.asarray(steps)
    for name, v in values.items():
        if v.shape != steps.shape:
            raise ValueError(
                f"The curve {name!r} has shape {v.shape}, its steps have shape {steps.shape}: "
                "they must be the same."
            )
    return Curves(steps, values)


def _no_source(source: Any) -> TypeError:
    return TypeError(
        f"{type(source).__name__} is no source of curves: give a Record, a "
        "deepxde_balance.Model, its losshistory, a GradientMonitor or its CSV file, or a mapping "
        "from names to values."
    )
