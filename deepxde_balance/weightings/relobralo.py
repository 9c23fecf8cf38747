"""ReLoBRaLo: relative loss balancing with random lookback."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .. import _checks
from .base import FromLosses, Scale


class ReLoBRaLo(FromLosses):
    """Weights from each loss's progress since the last update and, by chance, since the first.

    Bischof & Kraus 2021. With lambda^bal_i(t, t') = K softmax_i(L_i(t) / (T L_i(t'))) and rho
    drawn from Bernoulli(E[rho]) at every update:

        lambda^hist_i = rho lambda_i(t-1) + (1 - rho) lambda^bal_i(t, 0)
        lambda_i(t) = alpha lambda^hist_i + (1 - alpha) lambda^bal_i(t, t-1)

    Weights are 1 in the first iteration; as long as no group is left out they sum to K. t-1 is the
    last update. Against a loss of 0 there is no progress: L_i(0) is the first positive loss, and
    a last loss of 0 counts as the present one. A group with neither keeps its weight and takes no
    part in the softmax; from a loss that is not finite nothing is updated. Covers the reference
    too.

    Args:
        alpha: Share of the older weights, in [0, 1).
        temperature: T of the softmax, positive: towards 0 the slowest group takes all, towards
            infinity all weights are 1.
        expected_rho: Chance that an update goes on from the last weights and does not look back
            to the first losses, in [0, 1].
        update_every: Iterations from one update to the next.
        scale: Static factors on the losses, see :class:`Weighting`.

    Raises:
        ValueError: If an argument is out of its range.
    """

    initial_losses: Tensor
    last_losses: Tensor

    def __init__(
        self,
        alpha: float = 0.999,
        temperature: float = 0.1,
        expected_rho: float = 0.999,
        update_every: int = 1,
        scale: Scale | None = None,
    ):
        super().__init__(update_every, scale)
        self.alpha = _checks.in_interval("alpha", alpha, 0, 1, "[)")
        self.temperature = _checks.in_interval("temperature", temperature, 0, math.inf, "()")
        self.expected_rho = _checks.in_interval("expected_rho", expected_rho, 0, 1, "[]")

    def reset(self, num_groups: int, like: Tensor) -> None:
        super().reset(num_groups, like)
        self.register_buffer("initial_losses", like.new_zeros(num_groups))
        self.register_buffer("last_losses", like.new_zeros(num_groups))

    def update(self, losses: Tensor) -> None:
        finite = losses.isfinite().all()
        initial = torch.where(self.initial_losses > 0, self.initial_losses, losses)
        last = torch.where(self.last_losses > 0, self.last_losses, losses)
        since_initial = losses / (self.temperature * initial)
        since_last = losses / (self.temperature * last)
        taken = since_initial.isfinite() & since_last.isfinite() & finite

        rho = self.weights.new_empty(()).bernoulli_(self.expected_rho)
        history = torch.lerp(_balanced(since_initial, taken), self.weights, rho)
        weights = torch.lerp(_balanced(since_last, taken), history, self.alpha)
        self.weights = torch.where(taken, weights, self.weights)
        self.initial_losses = torch.where(finite, initial, self.initial_losses)
        self.last_losses = torch.where(finite, losses, self.last_losses)
        self.note_updated(taken)


def _balanced(progress: Tensor, taken: Tensor) -> Tensor:
    """lambda^bal over the groups taken; 0 (or nan, if there are none) for the others."""
    return taken.sum() * torch.softmax(torch.where(taken, progress, -torch.inf), dim=0)
