"""SoftAdapt: a softmax of the losses' rates of change."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .. import _checks
from .base import FromLosses, Scale

_VARIANTS = ("original", "normalized", "loss-weighted")


class SoftAdapt(FromLosses):
    """lambda_i = softmax_i(beta s_i), s_i the rate of change of loss i.

    Heydari, Thompson & Mehmood 2019, algorithm 1. s_i is the backward difference of the last
    losses, in units of one update. Variants: ``"normalized"`` has s_i / sum_j |s_j| for s_i;
    ``"loss-weighted"`` has the softmax multiplied with the mean of the last losses, and brought to
    sum 1 again. As in the paper the weights sum to 1, not to K; they are 1/K until there are losses
    enough, and where the shares are 0/0. A loss that is not finite is not taken in. Covers the
    reference too.

    Args:
        beta: Sharpness. Positive: the group that falls most slowly gets the largest weight;
            negative: the one that falls fastest.
        order: Order of accuracy of the backward difference, at least 1; it needs order + 1 losses.
        variant: ``"original"``, ``"normalized"`` or ``"loss-weighted"``.
        update_every: Iterations from one update to the next.
        scale: Static factors on the losses, see :class:`Weighting`.

    Raises:
        ValueError: If an argument is out of its range.
    """

    #: The last losses, oldest first, shape (order + 1, K); nan before there are so many.
    last_losses: Tensor

    def __init__(
        self,
        beta: float = 0.1,
        order: int = 1,
        variant: str = "original",
        update_every: int = 1,
        scale: Scale | None = None,
    ):
        self.order = _checks.positive_int("order", order)
        super().__init__(update_every, scale)
        self.beta = _checks.in_interval("beta", beta, -math.inf, math.inf, "()")
        if variant not in _VARIANTS:
            raise _checks.unknown_name("variant", str(variant), _VARIANTS)
        self.variant = variant

    def reset(self, num_groups: int, like: Tensor) -> None:
        super().reset(num_groups, like)
        empty = like.new_full((self.order + 1, num_groups), math.nan)
        self.register_buffer("last_losses", empty)

    def update(self, losses: Tensor) -> None:
        moved = torch.cat([self.last_losses[1:], losses.unsqueeze(0)])
        self.last_losses = torch.where(losses.isfinite().all(), moved, self.last_losses)
        weights = self._shares(self._rates())  # nan without a history, a change or a loss
        equal = torch.full_like(weights, 1 / len(losses))
        self.weights = torch.where(weights.isfinite().all(), weights, equal)

    def _rates(self) -> Tensor:
        """The first derivative from backward differences: sum over k of (k-th difference) / k."""
        differences = [
            torch.diff(self.last_losses, n=k, dim=0)[-1] / k for k in range(1, self.order + 1)
        ]
        return torch.stack(differences).sum(dim=0)

    def _shares(self, rates: Tensor) -> Tensor:
        if self.variant == "normalized":
            rates = rates / rates.abs().sum()
        shares = torch.softmax(self.beta * rates, dim=0)
        if self.variant == "loss-weighted":
            shares = shares * self.last_losses.mean(dim=0)
            shares = shares / shares.sum()
        return shares
