"""Plots of the groups' gradients: norms, cosines, distributions of their entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from . import sources
from .style import axes_or_new, styled


@styled
def plot_gradient_norms(
    steps: Any, norms_by_name: Mapping[str, Any] | None = None, ax: Axes | None = None
) -> Axes:
    """Plots the norm of each group's gradient over the iterations, with a log axis.

    Args:
        steps: A :class:`~deepxde_balance.GradientMonitor` or its CSV file; or the iterations of
            `norms_by_name`, shape (S,).
        norms_by_name: The norms by group, each of shape (S,); ``None`` with a monitor.
        ax: The axes to draw into; ``None`` for a new figure.

    Returns:
        The axes.

    Raises:
        TypeError: If `steps` is not a monitor or a file, and `norms_by_name` is missing.
        ValueError: If norms and steps differ in length.

    Example:
        >>> from deepxde_balance import plots
        >>> plots.plot_gradient_norms([0, 100], {"pde": [5.0, 1.0], "bc": [0.1, 0.2]}).get_ylabel()
        'norm of the gradient'
    """
    if norms_by_name is None:
        log = sources.gradient_log(steps)
        steps, norms_by_name = log.steps, log.gradient_norms
    curves = sources.mapping(norms_by_name, steps)
    ax = axes_or_new(ax)
    for name, norms in curves.values.items():
        ax.plot(curves.steps, norms, label=name)
    ax.set(xlabel="iteration", ylabel="norm of the gradient", yscale="log")
    ax.legend()
    return ax


@styled
def plot_cosines(
    steps: Any,
    cosines_by_pair: Mapping[Any, Any] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plots the cosine between two groups' gradients over the iterations; below 0 they conflict.

    Args:
        steps: A :class:`~deepxde_balance.GradientMonitor` or its CSV file; or the iterations of
            `cosines_by_pair`, shape (S,).
        cosines_by_pair: The cosines by pair of groups, each of shape (S,); ``None`` with a
            monitor. A pair is a tuple of two names, or one name for both.
        ax: The axes to draw into; ``None`` for a new figure.

    Returns:
        The axes.

    Raises:
        TypeError: If `steps` is not a monitor or a file, and `cosines_by_pair` is missing.
        ValueError: If cosines and steps differ in length.

    Example:
        >>> from deepxde_balance import plots
        >>> plots.plot_cosines([0, 100], {("pde", "bc"): [0.1, -0.9]}).get_ylabel()
        'cosine of the gradients'
    """
    if cosines_by_pair is None:
        log = sources.gradient_log(steps)
        steps, cosines_by_pair = log.steps, log.cosines
    named = {
        pair if isinstance(pair, str) else ", ".join(pair): cosines
        for pair, cosines in cosines_by_pair.items()
    }
    curves = sources.mapping(named, steps)
    ax = axes_or_new(ax)
    for name, cosines in curves.values.items():
        if np.isfinite(cosines).any():  # a term that is not learned has no gradient
            ax.plot(curves.steps, cosines, label=name)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set(xlabel="iteration", ylabel="cosine of the gradients", ylim=(-1.05, 1.05))
    ax.legend()
    return ax


@styled
def plot_gradient_histograms(
    edges: Sequence[Any] | np.ndarray,
    counts: Sequence[Any] | np.ndarray,
    names: Sequence[str],
    ax: Axes | None = None,
) -> Axes:
    """Plots the distribution of the entries of each group's gradient, as density with a log axis.

    Empty bins are left out. The axis of the entries is linear; it is symmetrically logarithmic if
    the largest entry of one group is more than ten times that of another.

    Args:
        edges: The edges of the bins, shape (G, B + 1).
        counts: The number of entries in each bin, shape (G, B).
        names: The names of the G groups.
        ax: The axes to draw into; ``None`` for a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: If the shapes don't fit.

    Example:
        >>> from deepxde_balance import plots
        >>> ax = plots.plot_gradient_histograms([[-1, 0, 1]], [[10, 30]], ["pde"])
    """
    edges, counts = np.asarray(edges, dtype=float), np.asarray(counts, dtype=float)
    if edges.shape != (len(names), counts.shape[-1] + 1) or len(counts) != len(names):
        raise ValueError(
            f"edges of shape {edges.shape} and counts of shape {counts.shape} don't fit "
            f"{len(names)} groups: they must be (G, B + 1) and (G, B)."
        )
    ax = axes_or_new(ax)
    for name, group_edges, group_counts in zip(names, edges, counts, strict=True):
        widths = np.diff(group_edges)
        filled = (group_counts > 0) & (widths > 0)
        density = group_counts[filled] / (widths[filled] * group_counts.sum())
        ax.plot(((group_edges[1:] + group_edges[:-1]) / 2)[filled], density, label=name)
    ax.set(xlabel="entry of the gradient", ylabel="density", yscale="log")
    largest = np.abs(edges).max(axis=1)
    if largest.min() > 0 and largest.max() > 10 * largest.min():
        linear = largest.min() / 10
        low, high = np.ceil(np.log10(linear)), np.floor(np.log10(largest.max()))
        decades = 10.0 ** np.unique([low, high])
        ax.set_xscale("symlog", linthresh=linear)
        ax.set_xticks([*-decades[::-1], 0, *decades], minor=False)
        ax.minorticks_off()
    ax.legend()
    return ax
