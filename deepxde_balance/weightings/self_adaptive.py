"""Self-adaptive weights: a min-max game between the network and one weight per group."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .. import _checks
from .base import Scale
from .kinds import FromLosses
from .learned import Learned


class SelfAdaptiveTerms(FromLosses):
    """Weights learned by gradient ascent on sum_i lambda_i L_i while the network descends.

    McClenny & Braga-Neto 2023, sec. 3, with one weight per group instead of one per point:
    lambda_i <- lambda_i + Adam(L_i), from lambda_i = 1 (`"sa-term"`). The iteration applies the
    weights from before this step. As losses are not negative, weights only grow. The reference
    has such a weight too. If a loss is not finite, no weight changes.

    Args:
        lr: Learning rate of the weights' own Adam, positive.
        update_every: Iterations from one update to the next.
        scale: Static factors on the losses, see :class:`Weighting`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import deepxde_balance as ddb
        >>> model = ddb.problems.get("harmonic").model("equal", verbose=0)
        >>> weighting = ddb.SelfAdaptiveTerms(lr=0.01)
        >>> model.compile("adam", lr=1e-3, loss_weights=weighting, verbose=0)
    """

    needs_reference = False

    def __init__(self, lr: float = 0.005, update_every: int = 1, scale: Scale | None = None):
        super().__init__(update_every, scale)
        self.lr = _checks.in_interval("lr", lr, 0, math.inf, "()")
        self.learned = Learned(start=1.0)
        self.learned.learn_with(torch.optim.Adam, lr=self.lr, maximize=True)

    def reset(self, num_groups: int, like: Tensor) -> None:
        super().reset(num_groups, like)
        self.learned.reset(num_groups, like)

    def update(self, losses: Tensor) -> None:
        self.weights = self.learned.values.detach().clone()
        self.learned.step(losses, included=losses.isfinite().all())
