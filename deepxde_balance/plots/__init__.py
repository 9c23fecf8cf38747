"""Plots of training and of its outcome, with matplotlib.

Every function draws into the axes given as `ax`, or into those of a new figure, and returns them.
Nothing else of matplotlib is touched: neither the backend nor its global settings.
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
from .style import COLORS, STYLE

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
    "plot_snapshots",
    "plot_weights",
]
