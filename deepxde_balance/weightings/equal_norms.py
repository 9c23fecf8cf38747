"""Weights that level the norms of all weighted gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from .averages import EMA, usable
from .base import FromGradients, Scale
from .group_gradients import GroupGradients


class EqualNorms(FromGradients):
    """lambda^_i = mean_j ||g_j|| / ||g_i||, smoothed by an EMA (`"grad-norm"`).

    Wang et al. 2023, "An expert's guide to training physics-informed neural networks",
    algorithm 1, whose text has the sum of the norms where the authors' code has their mean; the
    two differ by the factor K common to all weights. Their alpha = 0.9 is the share of the old
    weights, ours the share of the new. A group whose norm is 0 or not finite keeps its last
    weight and takes no part in the mean; from a loss that is not finite nothing is updated.
    Covers the reference too. Unlike :class:`GradNorm`, nothing is learned.

    Args:
        alpha: Share of the newest weights in the EMA, in (0, 1].
        update_every: Iterations from one update to the next.
        scale: Static factors on the losses, see :class:`Weighting`.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(self, alpha: float = 0.1, update_every: int = 100, scale: Scale | None = None):
        super().__init__(update_every, scale)
        self.average = EMA(alpha)

    def reset(self, num_groups: int, like: Tensor) -> None:
        super().reset(num_groups, like)
        self.average.reset(num_groups, like)

    def update(self, losses: Tensor, gradients: GroupGradients) -> None:
        norms = gradients.norm(2)
        taken = usable(norms) & losses.isfinite().all()
        mean = torch.where(taken, norms, 0.0).sum() / taken.sum()
        instantaneous = torch.where(taken, mean / norms, 0.0)
        self.weights = self.average(self.weights, instantaneous)
        self.note_updated(usable(instantaneous))
