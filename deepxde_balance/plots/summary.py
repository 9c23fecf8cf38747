"""One page about a training: losses, weights, shares, cosines, and where the residual is large."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import deepxde as dde
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .._deepxde.batch import problem_of
from ..callbacks.gradient_monitor import GradientMonitor
from ..diagnostics.gradient_log import GradientLog
from ..diagnostics.measures import Measures, measure
from ..diagnostics.observation import Observer
from ..terms.groups import TermGroups
from . import sources
from .style import COLORS, STYLE

#: The residual is evaluated at so many points at most.
_MOST_POINTS = 5000


def summary(
    model: dde.Model,
    monitor: GradientMonitor | GradientLog | str | os.PathLike[str] | None = None,
    coordinates: Sequence[str] | None = None,
) -> Figure:
    """Draws one page about a training; the model does not change.

    The panels are the losses, the weights, the effective shares ||lambda_i g_i|| /
    sum_j ||lambda_j g_j||, the cosines between the gradients, and the size of the residual over the
    domain. Losses, weights and shares are those of the same groups, with the same colours.

    Args:
        model: A compiled and trained :class:`~deepxde_balance.Model` or stock ``dde.Model``.
        monitor: The :class:`~deepxde_balance.GradientMonitor` of the training, or its CSV file.
            Without one, losses and weights are those of the loss history (with a list of numbers,
            its losses are weighted, as in DeepXDE), and shares and cosines those of now.
        coordinates: Names of the coordinates, with units if you like, ``("x in m", "t in s")``; by
            default x, y, z, and t for time.

    Returns:
        The figure. ``figure.savefig("training.pdf")`` saves it as vectors.

    Raises:
        ValueError: If the model is not compiled or not trained, the monitor is empty, or there are
            too few names of coordinates.
        TypeError: If `model` or `monitor` is something else.

    Example:
        >>> import deepxde_balance as ddb
        >>> from deepxde_balance import plots
        >>> model = ddb.problems.get("harmonic").model("dn", verbose=0)
        >>> monitor = ddb.GradientMonitor(period=10)
        >>> losshistory, train_state = model.train(iterations=20, callbacks=[monitor], verbose=0)
        >>> figure = plots.summary(model, monitor)
        >>> [ax.get_title() for ax in figure.axes[:4]]
        ['losses', 'weights', 'effective shares', 'cosines between gradients']
    """
    if not isinstance(model, dde.Model):
        raise TypeError(f"model={type(model).__name__} is not allowed: give a model.")
    if model.opt is None:
        raise ValueError("The model is not compiled yet: compile it, train it, then plot it.")
    if monitor is None and not model.losshistory.steps:
        raise ValueError("The model is not trained yet: train it, then plot it.")
    observer = Observer(model)
    now = measure(observer())
    names = list(now.names)
    if monitor is None:
        curves = _of_history(model, observer.groups)
    else:
        log = sources.gradient_log(monitor)
        if not len(log.steps):
            raise ValueError("The monitor is empty: give train the same one as a callback first.")
        names = [*log.losses]
        curves = _Curves(np.asarray(log.steps), log.losses, log.weights, log.shares, log.cosines)
    styles = _styles(names)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 3, figsize=(11.5, 6.4), layout="constrained")
        panels = list(axes.ravel())
        _draw(panels[0], "losses", curves.steps, curves.losses, styles, log=True)
        _draw(panels[1], "weights", curves.steps, curves.weights, styles, log=True)
        if curves.shares:
            _draw(panels[2], "effective shares", curves.steps, curves.shares, styles)
            _draw_cosines(panels[3], curves.steps, curves.cosines)
        else:
            _bars(panels[2], "effective shares", names, now.shares, styles)
            _bars_of_cosines(panels[3], now)
        panels[2].set_ylim(0, 1)
        _draw_residual(panels[4], model, coordinates)
        _say(panels[5], model, names, now, styles)
        figure.suptitle(_title(model))
    return figure


class _Curves(NamedTuple):
    """Curves by group over the iterations; shares and cosines are empty without a monitor."""

    steps: np.ndarray
    losses: Mapping[str, Any]
    weights: Mapping[str, Any]
    shares: Mapping[str, Any]
    cosines: Mapping[tuple[str, str], Any]


def _of_history(model: dde.Model, groups: TermGroups) -> _Curves:
    """The losses of DeepXDE's loss history, added up by group, and the weights beside them."""
    history = model.losshistory
    columns = np.array(history.loss_train, dtype=float).reshape(len(history.steps), -1)
    rows = dict(zip((*groups.names, "unweighted"), groups.rows, strict=False))
    losses = {name: columns[:, list(row)].sum(axis=1) for name, row in rows.items()}
    return _Curves(np.array(history.steps), losses, sources.weights(history).values, {}, {})


def _styles(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A colour and a line style for each name."""
    return dict(zip(names, itertools.cycle(STYLE["axes.prop_cycle"]), strict=False))


def _draw(
    ax: Axes,
    title: str,
    steps: np.ndarray,
    values: Mapping[str, Any],
    styles: Mapping[str, Mapping[str, Any]],
    log: bool = False,
) -> None:
    for name, of_name in values.items():
        ax.plot(steps, of_name, label=name, **styles.get(name, {"color": "0.5"}))
    ax.set(title=title, xlabel="iteration")
    if not values:
        _no(ax, "1 for all terms" if title == "weights" else "nothing was recorded")
    elif log and np.isfinite(ax.dataLim.minposy):
        ax.set_yscale("log")


def _draw_cosines(ax: Axes, steps: np.ndarray, cosines: Mapping[tuple[str, str], Any]) -> None:
    colors = itertools.cycle(COLORS[:2:-1])  # pairs are no groups, and have other colours
    cosines = {pair: values for pair, values in cosines.items() if np.isfinite(values).any()}
    for (pair, values), color in zip(cosines.items(), colors, strict=False):
        ax.plot(steps, values, color=color, label=", ".join(pair))
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set(title="cosines between gradients", xlabel="iteration", ylim=(-1.05, 1.05))
    if 0 < len(cosines) <= 6:
        ax.legend()


def _bars(
    ax: Axes,
    title: str,
    names: Sequence[str],
    values: np.ndarray,
    styles: Mapping[str, Mapping[str, Any]],
) -> None:
    ax.bar(names, values, color=[styles[name]["color"] for name in names])
    ax.set(title=f"{title} now")


def _bars_of_cosines(ax: Axes, now: Measures) -> None:
    pairs = list(itertools.combinations(range(len(now.names)), 2))
    labels = [f"{now.names[i]}, {now.names[j]}" for i, j in pairs]
    ax.barh(labels, [now.cosines[pair] for pair in pairs], color="0.5")
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set(title="cosines between gradients now", xlim=(-1.05, 1.05))
    ax.invert_yaxis()


def _draw_residual(ax: Axes, model: dde.Model, coordinates: Sequence[str] | None) -> None:
    """The size of the residual at the training points, over one or two coordinates."""
    ax.set(title="size of the residual")
    found = _residual(model)
    if found is None:
        _no(ax, "no residual that can be\nevaluated at points")
        return
    points, size = found
    names = _coordinates(model, points.shape[1]) if coordinates is None else list(coordinates)
    if len(names) < points.shape[1]:
        raise ValueError(
            f"coordinates={coordinates!r} is not allowed: the points have {points.shape[1]} "
            "coordinates, name each."
        )
    if points.shape[1] == 1:
        order = np.argsort(points[:, 0])
        ax.plot(points[order, 0], size[order], ".-", color="0.3", markersize=3, linewidth=0.7)
        ax.set(xlabel=names[0], yscale="log" if (size > 0).any() else "linear")
        return
    # With more than two coordinates: over the first and the last.
    order = np.argsort(size)  # the largest on top
    across, up = points[order, 0], points[order, -1]
    scattered = ax.scatter(across, up, c=size[order], s=6, cmap="inferno", rasterized=True)
    ax.figure.colorbar(scattered, ax=ax)
    ax.set(xlabel=names[0], ylabel=names[points.shape[1] - 1])
    ax.grid(False)


def _residual(model: dde.Model) -> tuple[np.ndarray, np.ndarray] | None:
    """Training points and the root of the sum of the squared residuals there.

    ``None`` where there is no residual, or one that needs more than the points.
    """
    problem = problem_of(model.data)
    if problem is not model.data or problem.pde is None or type(problem) not in _AT_POINTS:
        return None
    if problem.auxiliary_var_fn is not None:  # DeepXDE predicts nothing with them
        return None
    points = problem.train_x_all
    if len(points) > _MOST_POINTS:
        points = points[:: -(-len(points) // _MOST_POINTS)]
    residuals = model.predict(points, operator=problem.pde)
    residuals = residuals if isinstance(residuals, (list, tuple)) else [residuals]
    squares = sum(np.square(one).reshape(len(points), -1).sum(axis=1) for one in residuals)
    return np.asarray(points), np.sqrt(squares)


#: The classes of data whose residual is a function of the points alone.
_AT_POINTS = (dde.data.PDE, dde.data.TimePDE)


def _coordinates(model: dde.Model, number: int) -> list[str]:
    geometry = model.data.geom
    in_time = isinstance(geometry, (dde.geometry.GeometryXTime, dde.geometry.TimeDomain))
    space = number - 1 if in_time else number
    names = ["x", "y", "z"] if space <= 3 else [f"x{i}" for i in range(space)]
    return [*names[:space], *(["t"] if in_time else [])]


def _say(
    ax: Axes,
    model: dde.Model,
    names: Sequence[str],
    now: Measures,
    styles: Mapping[str, Mapping[str, Any]],
) -> None:
    """The one legend of all groups, with the present numbers."""
    ax.set_axis_off()
    numbers = dict(zip(now.names, zip(now.losses, now.weights, strict=True), strict=True))
    for name in names:
        text = name
        if name in numbers:
            loss, weight = numbers[name]
            text += f": loss {loss:.2g}, weight {weight:.3g}"
        ax.plot([], [], label=text, **{**styles[name], "linewidth": 3})
    ax.legend(loc="upper left", title="now", alignment="left", fontsize=10)


def _title(model: dde.Model) -> str:
    weighting = getattr(model, "weighting", None)
    strategy = "" if weighting is None else f"{weighting.strategy}, "
    return f"{strategy}iteration {model.train_state.step}"


def _no(ax: Axes, text: str) -> None:
    ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes)
    ax.set(xticks=[], yticks=[])
