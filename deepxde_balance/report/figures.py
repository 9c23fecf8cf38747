"""The figures of a report, most of them with a panel for each strategy."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from .. import plots
from .._files import replaced
from ..results.record import Record
from .case import Case


def save_figures(case: Case, folder: Path) -> dict[str, str]:
    """Draws and saves all figures of a case.

    Figures that need the arrays of a run are left out if the NPZ file of a shown run is missing.

    Args:
        case: The runs.
        folder: The folder of the figures.

    Returns:
        The name of each figure's file, by caption.
    """
    files = {}
    runs = [shown(runs) for runs in case.strategies.values()]
    with_arrays = all(run.path.with_suffix(".npz").exists() for run in runs)
    for name, caption, draw in _FIGURES:
        if name in _FROM_ARRAYS and not with_arrays:
            continue
        with plt.rc_context(plots.STYLE):
            for i, figure in enumerate(draw(case)):
                file = f"{case.slug}-{name}{f'-{i + 1}' if i else ''}.png"
                with replaced(folder / file) as beside:
                    figure.savefig(beside, format="png")
                files[caption + (f", output {i + 1}" if i else "")] = file
    return files


def shown(runs: Sequence[Record]) -> Record:
    """The run that represents a strategy: that of the lowest seed which did not diverge."""
    return next((run for run in runs if not run.diverged), runs[0])


def coordinates(record: Record) -> tuple[str, str]:
    """The names of the coordinates: x and t with an initial condition, else x and y."""
    return ("x", "t" if any(term.startswith("ic") for term in record.loss_terms) else "y")


#: With more strategies than this, the bands over the seeds would hide the curves.
MOST_BANDS = 8


def _errors(case: Case) -> Iterator[Figure]:
    band = plots.min_max if len(case.strategies) <= MOST_BANDS else None
    figure = Figure((10.8, 4.6 + 0.22 * math.ceil(len(case.strategies) / 4)), layout="constrained")
    axes = list(figure.subplots(1, 2))
    for ax, quantity in zip(axes, ("L2RE", "MAE"), strict=True):
        for strategy, runs in case.strategies.items():
            if any(np.isfinite(run.errors[quantity]).any() for run in runs):
                plots.plot_errors(runs, quantity, band, strategy, ax)
        if not ax.lines:
            _say_diverged(ax)
    _share_legend(figure, axes, columns=4)
    yield figure


def _by_strategy(
    draw: Callable[[Record, Axes], Axes], share: bool | str
) -> Callable[[Case], Iterator[Figure]]:
    """A function that draws a figure with a panel for each strategy.

    Args:
        draw: Draws a panel from the run that is shown.
        share: Which axes the panels share: both (True), none (False), or ``"y"``.
    """

    def figures(case: Case) -> Iterator[Figure]:
        figure, axes = _panels(len(case.strategies), share)
        for ax, runs in zip(axes, case.strategies.values(), strict=True):
            draw(shown(runs), ax)
            _title(ax, shown(runs))
        _share_legend(figure, axes, columns=6)
        yield figure

    return figures


def _histograms(record: Record, ax: Axes) -> Axes:
    fields = record.fields
    if len(fields.histogram_steps):
        names = [str(name) for name in fields.histogram_groups]
        edges, counts = fields.histogram_edges[-1], fields.histogram_counts[-1]
        plots.plot_gradient_histograms(edges, counts, names, ax=ax)
    return ax


def _fields(case: Case) -> Iterator[Figure]:
    """One figure per output: a row for each strategy, with solution, prediction and error."""
    runs = [shown(runs) for runs in case.strategies.values()]
    for output in range(runs[0].fields.solution.shape[1]):
        figure = Figure((10.8, 2.3 * len(runs)), layout="constrained")
        norm = common_norm([run.fields.error[:, output] for run in runs])
        rows = figure.subplots(len(runs), 3, squeeze=False)
        for row, run in zip(rows, runs, strict=True):
            _solution_prediction_error(row, run, output, norm)
        if runs[0].fields.points.shape[1] == 1:
            _share_range([row[2] for row in rows], norm)
        yield figure


#: Errors below this fraction of the largest of all strategies have one colour.
_SMALLEST_ERROR = 1e-4


def common_norm(errors: Sequence[np.ndarray]) -> LogNorm | None:
    """The colours of the error maps of several strategies: one logarithmic scale for all.

    On a linear scale, a strategy with a hundredth of another's error would be of one colour.

    Args:
        errors: The absolute errors of each strategy; those that are not finite are left out.

    Returns:
        The scale; ``None`` if there is no error.
    """
    values = np.concatenate([np.ravel(of_one) for of_one in errors])
    values = values[np.isfinite(values) & (values > 0)]
    if not len(values):
        return None
    largest = values.max()
    smallest = max(values.min(), _SMALLEST_ERROR * largest)
    return LogNorm(smallest if smallest < largest else largest / 10, largest, clip=True)


def _share_range(axes: Sequence[Axes], norm: LogNorm | None) -> None:
    """Gives panels of errors in one dimension the same logarithmic axis."""
    for ax in axes:
        if norm is not None and ax.lines:
            ax.set(yscale="log", ylim=(norm.vmin, norm.vmax))


def _solution_prediction_error(
    row: Sequence[Axes], run: Record, output: int, norm: LogNorm | None
) -> None:
    fields = run.fields
    styles: Sequence[dict[str, Any]] = ({}, {}, {})
    if fields.points.shape[1] == 2:  # the same colours for solution and prediction
        solution = fields.solution[:, output]
        colors = {"vmin": solution.min(), "vmax": solution.max()}
        errors = {"cmap": "inferno", "norm": None if norm is None else copy.copy(norm)}
        styles = (colors, colors, errors)
    columns = (fields.solution, fields.prediction, fields.error)
    for ax, field, style in zip(row, columns, styles, strict=True):
        if np.isfinite(field[:, output]).any():
            plots.plot_field(fields.points, field[:, output], coordinates(run), ax, **style)
        else:
            _say_diverged(ax)
    row[0].set_title("solution")
    _title(row[1], run)
    row[2].set_title("absolute error")


def _snapshots(case: Case) -> Iterator[Figure]:
    runs = [shown(runs) for runs in case.strategies.values()]
    for output in range(runs[0].fields.solution.shape[1]):
        figure, axes = _panels(len(runs), share="y")
        for ax, run in zip(axes, runs, strict=True):
            fields = run.fields
            values = fields.prediction[:, output], fields.solution[:, output]
            plots.plot_snapshots(fields.points, *values, coordinates=coordinates(run), ax=ax)
            _title(ax, run)
        _share_legend(figure, axes, columns=6)
        yield figure


def _coefficients(case: Case) -> Iterator[Figure]:
    true = case.records[0].true_coefficients
    if not true:
        return
    height = 4.2 + 0.22 * math.ceil(len(case.strategies) / 4)
    figure = Figure((5.4 * len(true), height), layout="constrained")
    axes = list(figure.subplots(1, len(true), squeeze=False)[0])
    for ax, (name, value) in zip(axes, true.items(), strict=True):
        for strategy, runs in case.strategies.items():
            run = shown(runs)
            plots.plot_coefficients({strategy: run.coefficients[name]}, steps=run.steps, ax=ax)
        ax.axhline(value, color="black", linestyle="--", linewidth=1, zorder=1)
        ax.set(ylabel=name, title=f"true value {value:.6g} (dashed)")
        low, high = np.nanmin(ax.dataLim.intervaly), np.nanmax(ax.dataLim.intervaly)
        if high > 10 * low > 0:
            ax.set_yscale("log")
    _share_legend(figure, axes, columns=4)
    yield figure


#: Of each figure its name, its caption, and the function that draws it.
_FIGURES: tuple[tuple[str, str, Callable[[Case], Iterable[Figure]]], ...] = (
    (
        "errors",
        "Error over the iterations: mean (and range, of few strategies) over the seeds",
        _errors,
    ),
    ("losses", "Unweighted losses", _by_strategy(plots.plot_losses, share=True)),
    ("weights", "Loss weights", _by_strategy(plots.plot_weights, share=True)),
    ("fields", "Solution, prediction by strategy, absolute error (one colour scale)", _fields),
    ("snapshots", "Snapshots: solution (wide) and prediction (dashed)", _snapshots),
    (
        "gradients",
        "Entries of the groups' unweighted gradients at the end",
        _by_strategy(_histograms, share=False),
    ),
    (
        "trajectories",
        "The conditions' losses against the reference's: ring start, pentagon end",
        _by_strategy(lambda record, ax: plots.plot_loss_trajectory(record, ax=ax), share=True),
    ),
    ("coefficients", "Identified coefficients", _coefficients),
)

#: The figures that need the arrays of a run.
_FROM_ARRAYS = ("fields", "snapshots", "gradients")


def _panels(number: int, share: bool | str) -> tuple[Figure, list[Axes]]:
    """A figure with that number of panels, three in a row; for `share` see `_by_strategy`."""
    columns = min(number, 3)
    rows = math.ceil(number / columns)
    figure = Figure((3.6 * max(columns, 2), 2.7 * rows + 0.4), layout="constrained")
    sharex, sharey = (share is True, bool(share))
    axes = figure.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey).ravel()
    for ax in axes[number:]:
        ax.remove()
    for ax in axes[:number]:
        ax.tick_params(labelbottom=True, labelleft=True)
    return figure, list(axes[:number])


def _share_legend(figure: Figure, axes: Sequence[Axes], columns: int) -> None:
    """Replaces the legends of the panels by one below them, if all panels have the same labels."""
    legends = [ax.get_legend_handles_labels() for ax in axes]
    labels = legends[0][1]
    if not labels or any(other[1] != labels for other in legends):
        return
    for ax in axes:
        legend = ax.get_legend()
        if legend is not None:
            legend.remove()
    figure.legend(legends[0][0], labels, loc="outside lower center", ncols=columns)


def _title(ax: Axes, run: Record) -> None:
    text = run.weights
    if run.diverged:
        text += " (diverged)"
    elif run.seed > 0:
        text += f" (seed {run.seed})"
    ax.set_title(text, fontsize=11 * min(1, 32 / len(text)))  # smaller where it would not fit


def _say_diverged(ax: Axes) -> None:
    ax.text(0.5, 0.5, "diverged", ha="center", va="center", transform=ax.transAxes)
    ax.set(xticks=[], yticks=[])
