"""ReLoBRaLo: relative loss balancing with random lookback."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .. import _checks
from .base import Scale
from .kinds import FromLosses


class ReLoBRaLo(FromLosses):
    """Weights from each loss's progress since the last update and, at random, since the first.

    Bischof & Kraus 2021. Let lambda^bal_i(t, t') = K softmax_i(L_i(t) / (T L_i(t'))), and draw rho
    from Bernoulli(E[rho]) at every update t. Then

        lambda^hist_i = rho lambda_i(t-1) + (1 - rho) lambda^bal_i(t, 0)
        lambda_i(t) = alpha lambda^hist_i + (1 - alpha) lambda^bal_i(t, t-1)

    The reference has such a weight too. Weights are 1 in the first iteration, and sum to K as long
    as no group is left out. No loss is compared with a loss of 0: L_i(0) is the first positive
    loss, and where L_i(t-1) is 0 it is replaced by L_i(t). A group whose loss is 0 in this update
    and the last, or in all so far, keeps its last weight, and the softmax does not include it. If
    a loss is not finite, no weight is updated.

    Args:
        alpha: Share of the older weights, in [0, 1).
        temperature: T of the softmax, positive. Towards 0 the slowest group gets all the weight,
            towards infinity all weights are 1.
        expected_rho: E[rho], the probability that an update uses the last weights and not the
            first losses, in [0, 1].
        update_every: Iterations from one update to the next.
        scale: Static factors on the losses, see :class:`Weighting`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import deepxde_balance as ddb
        >>> model = ddb.problems.get("harmonic").model("equal", verbose=0)
        >>> weighting = ddb.ReLoBRaLo(temperature=1.0)
        >>> model.compile("adam", lr=1e-3, loss_weights=weighting, verbose=0)
    """

    needs_reference = False
    rounds_to_zero = True

    #: L_i(0) and L_i(t-1), shape (K,); 0 before there is one.
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
        included = since_initial.isfinite() & since_last.isfinite() & finite

        rho = self.weights.new_empty(()).bernoulli_(self.expected_rho)
        history = torch.lerp(_balanced(since_initial, included), self.weights, rho)
        weights = torch.lerp(_balanced(since_last, included), history, self.alpha)
        self.weights = torch.where(included, weights, self.weights)
        self.initial_losses = torch.where(finite, initial, self.initial_losses)
        self.last_losses = torch.where(finite, losses, self.last_losses)
        self.note_skipped(~included)


def _balanced(progress: Tensor, included: Tensor) -> Tensor:
    """lambda^bal of the included groups; 0 for the others (nan if no group is included)."""
    return included.sum() * torch.softmax(torch.where(included, progress, -torch.inf), dim=0)
