"""Curves of losses, weights, errors and coefficients over the iterations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from ..results.record import Record
from . import sources
from .style import axes_or_new, styled

#: With more records than this, marks would hide a curve.
MARKED = 100

Band = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@styled
def plot_losses(source: Any, ax: Axes | None = None) -> Axes:
    """Plots the loss of each term over the iterations, with a log axis.

    Args:
        source: A model, its `losshistory`, a GradientMonitor, ...; see
            :func:`deepxde_balance.plots.sources.losses`.
        ax: The axes to draw into; ``None`` for a new figure.

    Returns:
        The axes.

    Raises:
        TypeError: If `source` has no losses.
        ValueError: If the curves differ in length.

    Example:
        >>> import deepxde_balance as ddb
        >>> from deepxde_balance import plots
        >>> model = ddb.problems.get("harmonic").model("dn", verbose=0)
        >>> losshistory, train_state = model.train(iterations=20, display_every=5, verbose=0)
        >>> plots.plot_losses(model).get_ylabel()
        'loss'
    """
    return _log_curves(sources.losses(source), "loss", ax)


@styled
def plot_weights(source: Any, ax: Axes | None = None) -> Axes:
    """Plots the weight of each group over the iterations, with a log axis.

    What is known are the weights at DeepXDE's records (or a monitor's observations), which dots
    mark where there are at most :data:`MARKED`. Each is drawn as held until the next one, since a
    weight stays until it is updated; an update between two records is drawn at the later one.

    Args:
        source: A model, its `losshistory`, a GradientMonitor, ...; see
            :func:`deepxde_balance.plots.sources.weights`.
        ax: The axes to draw into; ``None`` for a new figure.

    Returns:
        The axes.

    Raises:
        TypeError: If `source` has no weights.
        ValueError: If the curves differ in length.

    Example:
        >>> from deepxde_balance import plots
        >>> plots.plot_weights({"pde": [1.0, 1.0], "bc": [1.0, 30.0]}).get_yscale()
        'log'
    """
    curves = sources.weights(source)
    marker = "." if len(curves.steps) <= MARKED else ""
    return _log_curves(curves, "weight", ax, drawstyle="steps-post", marker=marker)


def min_max(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The range of the runs, a band for :func:`plot_errors`.

    Args:
        values: The errors of the runs, shape (runs, S), nan where a run has none.

    Returns:
        The lowest and the highest error at each step, each of shape (S,).

    Example:
        >>> import numpy as np
        >>> low, high = min_max(np.array([[0.3, 0.1], [0.2, np.nan]]))
        >>> low.tolist(), high.tolist()
        ([0.2, 0.1], [0.3, 0.1])
    """
    return np.nanmin(values, axis=0), np.nanmax(values, axis=0)


def mean_std(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean minus and plus the sample standard deviation, a band for :func:`plot_errors`.

    Args:
        values: The errors of the runs, shape (runs, S), nan where a run has none.

    Returns:
        The lower and the upper edge at each step, each of shape (S,); both are the mean where
        there is a single run.

    Example:
        >>> import numpy as np
        >>> low, high = mean_std(np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]]))
        >>> low.tolist(), high.tolist()
        ([1.0, 5.0], [3.0, 5.0])
    """
    number = np.sum(~np.isnan(values), axis=0)
    mean = np.nanmean(values, axis=0)
    squares = np.nansum((values - mean) ** 2, axis=0)
    std = np.sqrt(squares / np.maximum(number - 1, 1))
    return mean - std, mean + std


@styled
def plot_errors(
    records: Record | Sequence[Record],
    quantity: str = "L2RE",
    band: Band | None = min_max,
    label: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plots the mean error of runs over the iterations and a band around it, with a log axis.

    The mean includes a run that diverged up to its last error, which a cross marks. The label says
    how many runs diverged.

    Args:
        records: The record of a run, or those of several runs of one strategy.
        quantity: ``"L2RE"``, the relative L2 error, or ``"MAE"``, the mean absolute error; both
            are fractions.
        band: :func:`min_max`, :func:`mean_std`, or another function from the errors, shape
            (runs, S), to the band's lower and upper edge; ``None`` for no band.
        label: Label of the line; by default the strategy.
        ax: The axes to draw into; ``None`` for a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If there is no run, or a run has no such error.

    Example:
        What ``deepxde-balance train harmonic --weights dn --out runs`` and the same with
        ``--seed 1`` have left::

            from deepxde_balance.results.record import read

            plots.plot_errors(read("runs"), band=plots.mean_std)
    """
    runs = [records] if isinstance(records, Record) else list(records)
    if not runs or any(quantity not in run.errors for run in runs):
        known = sorted({name for run in runs for name in run.errors})
        raise ValueError(f"No run, or one without {quantity!r}; there is: {', '.join(known)}.")
    steps, values = _together(runs, quantity)
    diverged = [run for run in runs if run.diverged]
    label = runs[0].weights if label is None else label
    if diverged:
        label += f" ({len(diverged)} of {len(runs)} diverged)"
    ax = axes_or_new(ax)
    (line,) = ax.plot(steps, np.nanmean(values, axis=0), label=label)
    if band is not None:
        low, high = band(values)
        ax.fill_between(steps, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    for run in diverged:
        last = np.flatnonzero(np.isfinite(run.errors[quantity]))[-1:]
        error, color = run.errors[quantity][last], line.get_color()
        ax.plot(run.steps[last], error, "x", color=color, ms=9, mew=2, zorder=3)
    return _finish(ax, "iteration", quantity, log="y")


@styled
def plot_coefficients(
    source: Record | Mapping[str, Any],
    true: Mapping[str, float] | None = None,
    steps: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Plots identified coefficients over the iterations; dashed lines are their true values.

    Args:
        source: A record of a run, or a mapping from names to values, each of shape (S,).
        true: The true values by name; by default those of the record.
        steps: The iterations of a mapping's values, shape (S,); 0, 1, ... by default.
        ax: The axes to draw into; ``None`` for a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If values and steps differ in length.

    Example:
        >>> from deepxde_balance import plots
        >>> found = {"C1": [0.0, 0.7, 0.98], "C2": [0.0, 0.2, 0.31]}
        >>> axes = plots.plot_coefficients(found, true={"C1": 1.0}, steps=[0, 1000, 2000])
        >>> [text.get_text() for text in axes.get_legend().get_texts()]
        ['C1', 'C2']
    """
    if isinstance(source, Record):
        curves = sources.mapping(source.coefficients, source.steps)
        true = source.true_coefficients if true is None else true
    else:
        curves = sources.mapping(source, steps)
    ax = axes_or_new(ax)
    for name, values in curves.values.items():
        (line,) = ax.plot(curves.steps, values, label=name)
        if true is not None and name in true:
            ax.axhline(true[name], color=line.get_color(), linestyle="--", linewidth=1)
    return _finish(ax, "iteration", "coefficient")


@styled
def plot_loss_trajectory(
    source: Record | Mapping[str, Any], reference: str | None = None, ax: Axes | None = None
) -> Axes:
    """Plots each condition's loss L_i over the reference's loss L_r, with two log axes.

    Points grow darker with time. A ring marks the start, a pentagon the end (after figure 4 of
    Deguchi & Asai 2023).

    Args:
        source: A record of a run, whose losses are summed by group, or a mapping from names to
            losses, each of shape (S,).
        reference: The name of the reference; by default the first name.
        ax: The axes to draw into; ``None`` for a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If there is no such reference.

    Example:
        >>> from deepxde_balance import plots
        >>> losses = {"pde": [3.0, 0.2, 0.1], "bc": [1.0, 0.8, 0.01]}
        >>> plots.plot_loss_trajectory(losses).get_xlabel()
        'loss of pde'
    """
    by_name = source.group_losses() if isinstance(source, Record) else source
    values = sources.mapping(by_name).values
    reference = next(iter(values), "") if reference is None else reference
    if reference not in values:
        raise ValueError(
            f"reference={reference!r} is not allowed: it must be one of {', '.join(values)}."
        )
    ax = axes_or_new(ax)
    x = values.pop(reference)
    for name, losses in values.items():
        (line,) = ax.plot(x, losses, linewidth=0.6, alpha=0.35)
        color = line.get_color()
        ax.scatter(x, losses, s=7, c=_darkening(color, len(losses)), linewidths=0, zorder=2)
        finite = np.flatnonzero(np.isfinite(x + losses))
        start, end = finite[:1], finite[-1:]
        ax.plot(x[start], losses[start], "o", color=color, mfc="white", ms=7)
        ax.plot(x[end], losses[end], "p", color=color, mec="black", ms=10, label=name)
    return _finish(ax, f"loss of {reference}", "loss", log="xy")


def _darkening(color: Any, number: int) -> np.ndarray:
    """`number` colours from a light tint to `color`, shape (number, 3)."""
    share = np.linspace(0.25, 1, max(number, 1))[:, None]
    colors: np.ndarray = 1 - share * (1 - np.array(to_rgb(color)))
    return colors


def _together(runs: Sequence[Record], quantity: str) -> tuple[np.ndarray, np.ndarray]:
    """The errors of several runs in one array.

    Returns:
        The steps at which any run has a finite error, shape (S,), and the errors there, shape
        (runs, S), nan where a run has none.
    """
    steps = np.unique(np.concatenate([run.steps for run in runs]))
    values = np.full((len(runs), len(steps)), np.nan)
    for row, run in zip(values, runs, strict=True):
        error = run.errors[quantity]
        row[np.searchsorted(steps, run.steps)] = np.where(np.isfinite(error), error, np.nan)
    has_error = ~np.isnan(values).all(axis=0)
    return steps[has_error], values[:, has_error]


def _log_curves(curves: sources.Curves, ylabel: str, ax: Axes | None, **style: Any) -> Axes:
    ax = axes_or_new(ax)
    for name, values in curves.values.items():
        ax.plot(curves.steps, values, label=name, **style)
    return _finish(ax, "iteration", ylabel, log="y")


def _finish(ax: Axes, xlabel: str, ylabel: str, log: str = "") -> Axes:
    """Sets labels, log axes (`log` is "", "y" or "xy") and, if there are lines, the legend."""
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if "x" in log and np.isfinite(ax.dataLim.minposx):  # a log axis needs something positive
        ax.set_xscale("log")
    if "y" in log and np.isfinite(ax.dataLim.minposy):
        ax.set_yscale("log")
    if ax.get_legend_handles_labels()[0]:
        ax.legend()
    return ax
