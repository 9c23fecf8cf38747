"""Plots of point weights over the domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import deepxde as dde
import numpy as np
from matplotlib.axes import Axes

from ..training.run import run_of
from .style import axes_or_new, styled


@styled
def plot_point_weights(
    model: dde.Model,
    term: str | None = None,
    coordinates: Sequence[str] = ("x", "t"),
    ax: Axes | None = None,
    **style: Any,
) -> Axes:
    """Plots the present weights of a term's points: their colour in two dimensions, or a height.

    Args:
        model: A model that was compiled with point weights, and trained; or a stock ``dde.Model``
            that was trained with those of a :class:`~deepxde_balance.LossWeighting`.
        term: The name of the term; by default the first one whose points are weighed.
        coordinates: The names of the coordinates. The first is the horizontal axis in two
            dimensions, the last in one.
        ax: The axes to draw into; ``None`` for a new figure.
        **style: Arguments of matplotlib's `scatter`.

    Returns:
        The axes.

    Raises:
        ValueError: If the model has no point weights (yet), or none for this term, or if the points
            have more than two coordinates.

    Example:
        >>> import deepxde_balance as ddb
        >>> from deepxde_balance import plots
        >>> problem = ddb.problems.get("klein-gordon", points=0.01)
        >>> model = problem.model("equal", verbose=0)
        >>> model.compile("adam", lr=1e-3, point_weights="rba", verbose=0)
        >>> losshistory, train_state = model.train(iterations=5, verbose=0)
        >>> ax = plots.plot_point_weights(model)
    """
    step = run_of(model).step
    present = {} if step is None or step.points is None else step.points.present()
    if not present:
        raise ValueError(
            "The model has no point weights yet: compile it with point_weights=..., and train it."
        )
    term = next(iter(present)) if term is None else term
    if term not in present:
        raise ValueError(f"term={term!r} is not allowed: give one of {', '.join(present)}.")
    points, weights = present[term]
    if points.shape[1] > 2:
        raise ValueError(
            f"The points of {term} have {points.shape[1]} coordinates: plots are of one or two."
        )
    ax = axes_or_new(ax)
    style = {"s": 8} | style
    if points.shape[1] == 1:
        order = np.argsort(points[:, 0])
        ax.scatter(points[order, 0], weights[order], **style)
        ax.set(xlabel=coordinates[-1], ylabel=f"weight of {term}")
        return ax
    scattered = ax.scatter(points[:, 0], points[:, 1], c=weights, **style)
    ax.figure.colorbar(scattered, ax=ax, label=f"weight of {term}")
    ax.set(xlabel=coordinates[0], ylabel=coordinates[1])
    return ax
