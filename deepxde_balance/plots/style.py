"""The style of all plots: colour-blind safe colours, legible sizes."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import matplotlib.pyplot as plt
from cycler import cycler
from matplotlib.axes import Axes

P = ParamSpec("P")

#: The colours of Okabe & Ito, but for yellow: a thin yellow line on white can't be seen.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LINES = ("-", "--", ":")

#: Settings for ``with plt.rc_context(STYLE)``. From the eighth line on, lines are dashed and the
#: colours repeat.
STYLE: Any = {
    "axes.prop_cycle": cycler(linestyle=_LINES) * cycler(color=COLORS),
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelsize": 11,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "figure.dpi": 110,
    "figure.figsize": (5.6, 3.8),
    "font.size": 10,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "image.cmap": "viridis",
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "savefig.dpi": 110,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
}


def styled(plot: Callable[P, Axes]) -> Callable[P, Axes]:
    """Decorates a plot function so that it draws in :data:`STYLE`."""

    @wraps(plot)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> Axes:
        with plt.rc_context(STYLE):
            return plot(*args, **kwargs)

    return in_style


def axes_or_new(ax: Axes | None) -> Axes:
    """The axes to draw into: `ax`, which gets our colours if it has no line yet, or new ones."""
    if ax is None:
        return plt.subplots(layout="constrained")[1]
    if not ax.lines:
        ax.set_prop_cycle(STYLE["axes.prop_cycle"])
    return ax
