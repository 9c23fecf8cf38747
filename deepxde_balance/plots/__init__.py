"""Plots of a training and of its results, with matplotlib.

Every function but :func:`summary` draws into the axes `ax`, or into those of a new figure, and
returns the axes. No function changes matplotlib's backend or its global settings. Public are the
names in `__all__`.
"""

from .curves import (
    mean_std,
    min_max,
    plot_coefficients,
    plot_errors,
    plot_loss_trajectory,
    plot_losses,
    plot_weights,
)
from .fields import plot_field, plot_snapshots
from .gradients import plot_cosines, plot_gradient_histograms, plot_gradient_norms
from .points import plot_point_weights
from .style import COLORS, STYLE
from .summary import summary

__all__ = [
    "COLORS",
    "STYLE",
    "mean_std",
    "min_max",
    "plot_coefficients",
    "plot_cosines",
    "plot_errors",
    "plot_field",
    "plot_gradient_histograms",
    "plot_gradient_norms",
    "plot_loss_trajectory",
    "plot_losses",
    "plot_point_weights",
    "plot_snapshots",
    "plot_weights",
    "summary",
]
