"""SoftAdapt: a softmax of the losses' rates of change."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .. import _checks
from .base import Scale
from .kinds import FromLosses

_VARIANTS = ("original", "normalized", "loss-weighted")


class SoftAdapt(FromLosses):
    """lambda_i = softmax_i(beta s_i), where s_i is the rate of change of loss i.

    Heydari, Thompson & Mehmood 2019, algorithm 1. s_i is a backward difference over the last
    losses, per update. In the variant ``"normalized"``, ``s_i / sum_j |s_j|`` takes its place.
    In ``"loss-weighted"``, the softmax is multiplied by the mean of the last losses, and scaled
    to sum to 1.

    The reference has such a weight too. As in the paper the weights sum to 1, not to K. All are
    1/K until there are enough losses, and where the formula gives 0/0. Losses are ignored while
    one of them is not finite.

    Args:
        beta: Sharpness of the softmax. If it is positive, the group whose loss falls most slowly
            gets the largest weight; if it is negative, the group whose loss falls fastest.
        order: Order of accuracy of the backward difference, at least 1; it needs order + 1 losses.
        variant: ``"original"``, ``"normalized"`` or ``"loss-weighted"``.
        update_every: Iterations from one update to the next.
        scale: Static factors on the losses, see :class:`Weighting`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import deepxde_balance as ddb
        >>> model = ddb.problems.get("harmonic").model("equal", verbose=0)
        >>> weighting = ddb.SoftAdapt(variant="loss-weighted")
        >>> model.compile("adam", lr=1e-3, loss_weights=weighting, verbose=0)
    """

    needs_reference = False
    rounds_to_zero = True

    #: The last losses, oldest first, shape (order + 1, K); nan where there is none yet.
    last_losses: Tensor

    def __init__(
        self,
        beta: float = 0.1,
        order: int = 1,
        variant: str = "original",
        update_every: int = 1,
        scale: Scale | None = None,
    ):
        super().__init__(update_every, scale)
        self.order = _checks.positive_int("order", order)
        self.beta = _checks.in_interval("beta", beta, -math.inf, math.inf, "()")
        if variant not in _VARIANTS:
            raise _checks.unknown_name("variant", str(variant), _VARIANTS)
        self.variant = variant

    def reset(self, num_groups: int, like: Tensor) -> None:
        super().reset(num_groups, like)
        empty = like.new_full((self.order + 1, num_groups), math.nan)
        self.register_buffer("last_losses", empty)

    def update(self, losses: Tensor) -> None:
        appended = torch.cat([self.last_losses[1:], losses.unsqueeze(0)])
        self.last_losses = torch.where(losses.isfinite().all(), appended, self.last_losses)
        weights = self._shares(self._rates())  # nan with too few losses, or where it is 0/0
        equal = torch.full_like(weights, 1 / len(losses))
        self.weights = torch.where(weights.isfinite().all(), weights, equal)

    def _rates(self) -> Tensor:
        """s_i: the first derivative, sum over k of (k-th backward difference) / k, shape (K,)."""
        differences = [
            torch.diff(self.last_losses, n=k, dim=0)[-1] / k for k in range(1, self.order + 1)
        ]
        return torch.stack(differences).sum(dim=0)

    def _shares(self, rates: Tensor) -> Tensor:
        """The weights from the rates s_i, shape (K,)."""
        if self.variant == "normalized":
            rates = rates / rates.abs().sum()
        shares = torch.softmax(self.beta * rates, dim=0)
        if self.variant == "loss-weighted":
            shares = shares * self.last_losses.mean(dim=0)
            shares = shares / shares.sum()
        return shares
