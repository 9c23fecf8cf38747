"""Plots of solution, prediction and error over the domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .style import COLORS, axes_or_new, styled


@styled
def plot_field(
    points: np.ndarray,
    values: np.ndarray,
    coordinates: Sequence[str] = ("x", "t"),
    ax: Axes | None = None,
    **style: Any,
) -> Axes:
    """Plots a field on a grid: a map in two dimensions, a line in one.

    Args:
        points: The grid, a full tensor grid (``ij``-indexed), shape (N, d) with d = 1 or 2.
        values: The field at the points, shape (N,) or (N, 1).
        coordinates: The names of the coordinates. The first is the horizontal axis of a map, the
            last that of a line.
        ax: The axes to draw into; ``None`` for a new figure.
        **style: Arguments of matplotlib's `pcolormesh` or `plot`.

    Returns:
        The axes.

    Raises:
        ValueError: If the points are not such a grid, or the values don't fit.

    Example:
        >>> import deepxde_balance as ddb
        >>> from deepxde_balance import plots
        >>> problem = ddb.problems.get("helmholtz")
        >>> points = problem.evaluation_points
        >>> ax = plots.plot_field(points, problem.solution(points), coordinates=("x", "y"))
    """
    axes, on_grid = _on_grid(points, values)
    ax = axes_or_new(ax)
    if len(axes) == 1:
        ax.plot(axes[0], on_grid, **style)
        ax.set(xlabel=coordinates[-1])
        return ax
    ax.grid(False)
    mesh = ax.pcolormesh(*axes, on_grid.T, shading="nearest", rasterized=True, **style)
    ax.figure.colorbar(mesh, ax=ax)
    ax.set(xlabel=coordinates[0], ylabel=coordinates[1])
    return ax


@styled
def plot_snapshots(
    points: np.ndarray,
    prediction: np.ndarray,
    solution: np.ndarray,
    at: Sequence[float] | int = 3,
    coordinates: Sequence[str] = ("x", "t"),
    ax: Axes | None = None,
) -> Axes:
    """Plots prediction (dashed) and solution along the first coordinate, at values of the second.

    In one dimension both are plotted along the only coordinate.

    Args:
        points: The grid, as in :func:`plot_field`.
        prediction: The prediction at the points, shape (N,) or (N, 1).
        solution: The solution at the points, shape (N,) or (N, 1).
        at: Values of the second coordinate, for which the nearest grid lines are plotted; or a
            number of values, which are then equispaced without the two ends.
        coordinates: The names of the coordinates.
        ax: The axes to draw into; ``None`` for a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If the points are not such a grid, or the values don't fit.

    Example:
        >>> import numpy as np
        >>> from deepxde_balance import plots
        >>> x, t = np.meshgrid(np.linspace(0, 1, 5), np.linspace(0, 1, 3), indexing="ij")
        >>> points, u = np.stack([x.ravel(), t.ravel()], axis=1), (x * t).ravel()
        >>> axes = plots.plot_snapshots(points, 0.9 * u, u, at=[0.5])
        >>> [text.get_text() for text in axes.get_legend().get_texts()]
        ['t = 0.5']
    """
    (axes, predicted), (_, solved) = _on_grid(points, prediction), _on_grid(points, solution)
    ax = axes_or_new(ax)
    if len(axes) == 1:
        _pair(ax, axes[0], predicted, solved, COLORS[0], "prediction")
        ax.set(xlabel=coordinates[-1], ylabel="u")
    else:
        x, t = axes
        times = np.linspace(t[0], t[-1], at + 2)[1:-1] if isinstance(at, int) else np.asarray(at)
        for i, j in enumerate(np.abs(t - time).argmin() for time in times):
            label = f"{coordinates[1]} = {t[j]:.3g}"
            _pair(ax, x, predicted[:, j], solved[:, j], COLORS[i % len(COLORS)], label)
        ax.set(xlabel=coordinates[0], ylabel="u")
    ax.legend(title="solution wide, prediction dashed", title_fontsize=8)
    return ax


def _pair(
    ax: Axes, x: np.ndarray, predicted: np.ndarray, solved: np.ndarray, color: str, label: str
) -> None:
    ax.plot(x, solved, "-", color=color, alpha=0.4, linewidth=3)
    ax.plot(x, predicted, "--", color=color, label=label)


def _on_grid(points: np.ndarray, values: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """The grid's coordinates along each dimension, and the values in the shape of the grid."""
    points, values = np.asarray(points), np.asarray(values)
    if points.ndim != 2 or points.shape[1] not in (1, 2):
        raise ValueError(f"points of shape {points.shape} are not allowed: give (N, 1) or (N, 2).")
    if values.size != len(points):
        raise ValueError(
            f"values of shape {values.shape} don't fit {len(points)} points: give one for each."
        )
    axes = [np.unique(column) for column in points.T]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    if not np.array_equal(grid, points):
        raise ValueError("The points are no full tensor grid, ij-indexed and ascending.")
    return axes, values.reshape([len(axis) for axis in axes])
