"""Memory of the groups that some update had to leave as they were."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Skips(nn.Module):
    """Which groups ever kept their weight in an update, for want of a usable statistic."""

    ever: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.reset(0, torch.empty(0))

    def reset(self, num_groups: int, like: Tensor) -> None:
        """Forgets all updates; the state takes the device of `like`."""
        self.register_buffer("ever", torch.zeros(num_groups, dtype=torch.bool, device=like.device))

    def forward(self, updated: Tensor) -> None:
        """Takes one update in.

        Args:
            updated: Boolean tensor of shape (K,), False where a group kept its weight.
        """
        self.ever = self.ever | ~updated
