"""Weights that make the norms of all weighted gradients equal."""

from __future__ import annotations

import torch
from torch import Tensor

from .averages import EMA, usable
from .base import Scale
from .group_gradients import GroupGradients
from .kinds import FromGradients


class EqualNorms(FromGradients):
    """lambda^_i = mean_j ||g_j|| / ||g_i||, smoothed by an EMA (`"grad-norm"`).

    Wang et al. 2023, "An expert's guide to training physics-informed neural networks",
    algorithm 1. Their text has the sum of the norms, their code the mean; the two differ by the
    factor K common to all weights. Their alpha = 0.9 is the share of the old weights, ours the
    share of the new.

    The reference has such a weight too. A group whose norm is 0 or not finite keeps its last
    weight, and the mean does not include it. If a loss is not finite, no weight is updated. Unlike
    :class:`GradNorm`, this strategy learns nothing.

    Args:
        alpha: Share of the newest weights in the EMA, in (0, 1].
        update_every: Iterations from one update to the next.
        scale: Static factors on the losses, see :class:`Weighting`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import deepxde_balance as ddb
        >>> model = ddb.problems.get("harmonic").model("equal", verbose=0)
        >>> model.compile("adam", lr=1e-3, loss_weights=ddb.EqualNorms(alpha=0.5), verbose=0)
    """

    needs_reference = False

    def __init__(self, alpha: float = 0.1, update_every: int = 100, scale: Scale | None = None):
        super().__init__(update_every, scale)
        self.average = EMA(alpha)

    def reset(self, num_groups: int, like: Tensor) -> None:
        super().reset(num_groups, like)
        self.average.reset(num_groups, like)

    def update(self, losses: Tensor, gradients: GroupGradients) -> None:
        norms = gradients.norm(2)
        included = usable(norms) & losses.isfinite().all()
        mean = torch.where(included, norms, 0.0).sum() / included.sum()
        instantaneous = torch.where(included, mean / norms, 0.0)
        self.weights = self.average(self.weights, instantaneous)
        self.note_skipped(~(usable(instantaneous)))
