"""Allocations: from the ratios of an update to its instantaneous weights.

A ratio of 0 marks a condition group that is left out of this update: it takes no part in the sums
over the groups, and its instantaneous weight is 0 (or nan, if all groups are left out).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from .._checks import choose


class Allocation(nn.Module, ABC):
    """Gives each condition group its instantaneous weight."""

    def reset(self, num_conditions: int, like: Tensor) -> None:
        """Forgets all updates; the state takes the device and type of `like`."""

    @abstractmethod
    def forward(self, ratios: Tensor, losses: Tensor) -> Tensor:
        """Returns the instantaneous weights.

        Args:
            ratios: The statistic's ratios, shape (M,); 0 where a group is left out.
            losses: The unweighted condition losses, shape (M,).

        Returns:
            Tensor of shape (M,), not positive where a group is left out.
        """


class Pairwise(Allocation):
    """lambda^_i = r_i: each condition by itself against the reference."""

    def forward(self, ratios: Tensor, losses: Tensor) -> Tensor:
        return ratios


class EqualShare(Allocation):
    """lambda^_i = (r_1 + ... + r_M) / M: the aggregated weight in equal parts ("DB-PINN-Avg").

    Zhou et al. 2025, sec. 4.4.
    """

    def forward(self, ratios: Tensor, losses: Tensor) -> Tensor:
        taking_part = ratios > 0
        return taking_part * (ratios.sum() / taking_part.sum())


class Difficulty(Allocation):
    """lambda^_i = G I_i / (I_1 + ... + I_M): the aggregated weight by difficulty index.

    G = r_1 + ... + r_M and I_i = L_i / mu_i, with mu_i the running mean of L_i over the updates
    so far, this one included. Zhou et al. 2025, eqs. 5 to 7.
    """

    mean_losses: Tensor
    count: Tensor

    def reset(self, num_conditions: int, like: Tensor) -> None:
        self.register_buffer("mean_losses", like.new_zeros(num_conditions))
        self.register_buffer("count", like.new_zeros(num_conditions))

    def forward(self, ratios: Tensor, losses: Tensor) -> Tensor:
        finite = losses.abs() < torch.inf
        self.count = self.count + finite
        means = torch.lerp(self.mean_losses, losses, 1 / self.count)
        self.mean_losses = torch.where(finite, means, self.mean_losses)
        index = torch.where(ratios > 0, losses / means, 0.0)
        return index * (ratios.sum() / index.sum())


AllocationName = Literal["pairwise", "average", "difficulty"]

_BY_NAME: dict[str, Callable[[], Allocation]] = {
    "pairwise": Pairwise,
    "average": EqualShare,
    "difficulty": Difficulty,
}


def get(allocation: AllocationName | Allocation) -> Allocation:
    """An allocation from its name (``"pairwise"``, ``"average"``, ``"difficulty"``) or itself.

    Raises:
        ValueError: If the name is unknown.
        TypeError: If `allocation` is neither a name nor an :class:`Allocation`.
    """
    return choose("allocation", allocation, Allocation, _BY_NAME)
