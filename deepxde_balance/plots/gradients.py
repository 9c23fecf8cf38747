"""Plots of the groups' gradients: norms, angles, distributions of their entries."""

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
    """The norm of each group's gradient over the iterations, log axis.

    Args:
        steps: The iterations, shape (S,); or a :class:`~deepxde_balance.GradientMonitor` or its
            CSV file, alone.
        norms_by_name: The norms by group, each of shape (S,).
        ax: Where to draw.
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
    """The cosine between the gradients of two groups over the iterations: below 0, they conflict.

    Args:
        steps: The iterations, shape (S,); or a :class:`~deepxde_balance.GradientMonitor` or its
            CSV file, alone.
        cosines_by_pair: The cosines by pair, each of shape (S,); a pair is a name or two.
        ax: Where to draw.
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
    """The distribution of the entries of each group's gradient: density at the filled bins.

    The axis of the entries is linear, or, if one group's entries reach ten times as far as
    another's, symmetrically logarithmic.

    Args:
        edges: The edges of the bins, shape (G, B + 1).
        counts: The number of entries in each bin, shape (G, B).
        names: The G groups.
        ax: Where to draw.

    Raises:
        ValueError: If the shapes don't fit.
    """
    edges, counts = np.asarray(edges, dtype=float), np.asarray(counts, dtype=float)
    if edges.shape != (len(names), counts.shape[-1] + 1) or len(counts) != len(names):
        raise ValueError(
            f"edges of shape {edges.shape} and counts of shape {counts.shape} don't fit "
            f"{len(names)} groups: they must be (G, B + 1) and (G, B)."
        )
    ax = axes_or_new(ax)
    for name, its_edges, its_counts in zip(names, edges, counts, strict=True):
        filled = (its_counts > 0) & (np.diff(its_edges) > 0)
        density = its_counts[filled] / (np.diff(its_edges)[filled] * its_counts.sum())
        ax.plot(((its_edges[1:] + its_edges[:-1]) / 2)[filled], density, label=name)
    ax.set(xlabel="entry of the gradient", ylabel="density", yscale="log")
    reach = np.abs(edges).max(axis=1)
    if reach.min() > 0 and reach.max() > 10 * reach.min():
        linear = reach.min() / 10
        low, high = np.ceil(np.log10(linear)), np.floor(np.log10(reach.max()))
        decades = 10.0 ** np.unique([low, high])
        ax.set_xscale("symlog", linthresh=linear)
        ax.set_xticks([*-decades[::-1], 0, *decades], minor=False)
        ax.minorticks_off()
    ax.legend()
    return ax
