"""GradNorm: weights learned so that all groups train at similar rates."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .. import _checks
from .averages import usable
from .base import FromGradients, Scale
from .group_gradients import GroupGradients
from .learned import Learned


class GradNorm(FromGradients):
    """Learned weights that bring ||w_i g_i|| to the mean norm x (relative inverse rate)^alpha.

    Chen et al. 2018, eqs. 1, 2 and algorithm 1. With G_i = ||w_i g_i||, G their mean and
    r_i = (L_i / L_i(0)) / mean_j(L_j / L_j(0)), one step of Adam on sum_i |G_i - G r_i^alpha|,
    G r_i^alpha taken as constant, so that the gradient of w_i is sign(G_i - G r_i^alpha) ||g_i||.
    Norms run over all parameters of the network, not over a last shared layer. Then weights below
    `min_weight` are lifted to it and all are scaled to sum to K, so they stay positive. Network
    and weights step from the same point: the weights of an iteration are those before its step.

    L_i(0) is the first loss that is positive and finite. A group whose gradient is 0 or not finite
    keeps its last weight and takes no part in the means; from a loss that is not finite nothing
    is learned. Covers the reference too.

    Args:
        alpha: Strength of the pull to equal rates, at least 0; 0 levels the norms.
        lr: Learning rate of the weights' own Adam, positive.
        min_weight: Bound to which weights are lifted before they are scaled, in (0, 1).
        update_every: Iterations from one update to the next.
        scale: Static factors on the losses, see :class:`Weighting`.

    Raises:
        ValueError: If an argument is out of its range.
    """

    initial_losses: Tensor

    def __init__(
        self,
        alpha: float = 1.5,
        lr: float = 0.025,
        min_weight: float = 1e-3,
        update_every: int = 1,
        scale: Scale | None = None,
    ):
        super().__init__(update_every, scale)
        self.alpha = _checks.in_interval("alpha", alpha, 0, math.inf, "[)")
        self.lr = _checks.in_interval("lr", lr, 0, math.inf, "()")
        self.min_weight = _checks.in_interval("min_weight", min_weight, 0, 1, "()")
        self.learned = Learned(start=1.0)
        self.learned.learn_with(torch.optim.Adam, lr=self.lr)

    def reset(self, num_groups: int, like: Tensor) -> None:
        super().reset(num_groups, like)
        self.register_buffer("initial_losses", like.new_zeros(num_groups))
        self.learned.reset(num_groups, like)

    def update(self, losses: Tensor, gradients: GroupGradients) -> None:
        self.weights = self.learned.values.detach().clone()
        finite = losses.isfinite().all()
        started = (self.initial_losses > 0) | ~finite
        self.initial_losses = torch.where(started, self.initial_losses, losses)

        norms = gradients.norm(2)
        taken = usable(norms) & usable(self.initial_losses) & finite
        levels = self.weights * norms
        rates = losses / self.initial_losses
        targets = _mean(levels, taken) * (rates / _mean(rates, taken)) ** self.alpha
        taken = taken & targets.isfinite()
        self.learned.step(torch.sign(levels - targets) * norms, taken)
        self._renormalise(taken)
        self.note_updated(taken)

    def _renormalise(self, taken: Tensor) -> None:
        """Scales the weights that moved so that all together sum to K."""
        values = self.learned.values
        lifted = values.clamp(min=self.min_weight)
        left = len(values) - torch.where(taken, 0.0, values).sum()
        moved = lifted * (left / torch.where(taken, lifted, 0.0).sum())
        values.copy_(torch.where(taken, moved, values))


def _mean(values: Tensor, taken: Tensor) -> Tensor:
    return torch.where(taken, values, 0.0).sum() / taken.sum()
