"""Losses without their jumps, and the largest of them so far."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .stateful import Stateful

#: Updates that a smoothed loss looks back.
_LOOK_BACK = 10


class SmoothedLosses(Stateful):
    """The geometric means of losses over about the last 10 updates, and the largest mean so far.

    One jump of the optimizer, to 100 times the loss, raises the mean by a factor of 1.6 only. It is
    not remembered for ever as the largest loss.
    """

    logs: Tensor
    largest_logs: Tensor

    def reset(self, number: int, like: Tensor) -> None:
        """Forgets all losses; the state gets the device and float type of `like`."""
        self.register_buffer("logs", like.new_full((number,), math.nan))
        self.register_buffer("largest_logs", like.new_full((number,), -math.inf))

    def forward(self, losses: Tensor) -> None:
        """Takes one update's losses in, shape (number,); those not finite are left out."""
        included = losses.isfinite()
        logs = losses.clamp(min=torch.finfo(losses.dtype).tiny).log()
        logs = torch.where(self.logs.isfinite(), torch.lerp(self.logs, logs, 1 / _LOOK_BACK), logs)
        self.logs = torch.where(included, logs, self.logs)
        self.largest_logs = torch.where(
            included, torch.maximum(self.largest_logs, logs), self.largest_logs
        )

    def mean(self) -> Tensor:
        """The geometric means, nan before the first losses, shape (number,)."""
        return self.logs.exp()

    def largest(self) -> Tensor:
        """The largest mean so far, 0 before the first losses, shape (number,)."""
        return self.largest_logs.exp()
