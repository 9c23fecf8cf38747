"""GradNorm: weights learned so that all groups train at similar rates."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .. import _checks
from .averages import usable
from .base import Scale
from .group_gradients import GroupGradients
from .kinds import FromGradients
from .learned import Learned


class GradNorm(FromGradients):
    """Learned weights that bring ||w_i g_i|| to the mean norm x (relative inverse rate)^alpha.

    Chen et al. 2018, eqs. 1, 2 and algorithm 1. Let G_i = ||w_i g_i||, G the mean of all G_i and
    r_i = (L_i / L_i(0)) / mean_j(L_j / L_j(0)). An update is one step of Adam on
    ``sum_i |G_i - G r_i^alpha|``, with the target G r_i^alpha held constant, so that the gradient
    of w_i is sign(G_i - G r_i^alpha) ||g_i||. Then weights below `min_weight` are raised to it, and
    all weights are scaled to sum to K. Norms are over all parameters of the network, not over a
    last shared layer. The iteration applies the weights from before the step.

    The reference has such a weight too. L_i(0) is the first loss that is positive and finite. A
    group whose gradient is 0 or not finite keeps its last weight, and the means do not include
    it. If a loss is not finite, no weight changes.

    Args:
        alpha: Strength of the pull to equal rates, at least 0; 0 makes the norms equal.
        lr: Learning rate of the weights' own Adam, positive.
        min_weight: Lower bound of the weights before they are scaled, in (0, 1).
        update_every: Iterations from one update to the next.
        scale: Static factors on the losses, see :class:`Weighting`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import deepxde_balance as ddb
        >>> model = ddb.problems.get("harmonic").model("equal", verbose=0)
        >>> model.compile("adam", lr=1e-3, loss_weights=ddb.GradNorm(alpha=0.5), verbose=0)
    """

    needs_reference = False

    #: L_i(0), shape (K,); 0 before there is one.
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
        unchanged = (self.initial_losses > 0) | ~finite
        self.initial_losses = torch.where(unchanged, self.initial_losses, losses)

        norms = gradients.norm(2)
        included = usable(norms) & usable(self.initial_losses) & finite
        weighted_norms = self.weights * norms
        rates = losses / self.initial_losses
        targets = _mean(weighted_norms, included) * (rates / _mean(rates, included)) ** self.alpha
        included = included & targets.isfinite()
        self.learned.step(torch.sign(weighted_norms - targets) * norms, included)
        self._renormalise(included)
        self.note_skipped(~included)

    def _renormalise(self, included: Tensor) -> None:
        """Scales the included weights so that all weights sum to K."""
        values = self.learned.values
        bounded = values.clamp(min=self.min_weight)
        sum_of_included = len(values) - torch.where(included, 0.0, values).sum()
        scaled = bounded * (sum_of_included / torch.where(included, bounded, 0.0).sum())
        values.copy_(torch.where(included, scaled, values))


def _mean(values: Tensor, included: Tensor) -> Tensor:
    return torch.where(included, values, 0.0).sum() / included.sum()
