"""Allocations: from the ratios of an update to its instantaneous weights.

A ratio of 0 marks a condition group that is left out of this update. The sums over the groups do
not include it, and its instantaneous weight is 0 (or nan, if all groups are left out).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from .parts import choose
from .stateful import Stateful


class Allocation(Stateful, ABC):
    """Computes the instantaneous weight of each condition group."""

    def reset(self, num_conditions: int, like: Tensor) -> None:
        """Forgets all updates; the state gets the device and float type of `like`."""

    @abstractmethod
    def forward(self, ratios: Tensor, losses: Tensor) -> Tensor:
        """The instantaneous weights.

        Args:
            ratios: The statistic's ratios, shape (M,); 0 where a group is left out.
            losses: The unweighted condition losses, shape (M,).

        Returns:
            The instantaneous weights, shape (M,); 0 or nan where a group is left out.
        """


class Pairwise(Allocation):
    """lambda^_i = r_i: each condition is compared with the reference alone."""

    def forward(self, ratios: Tensor, losses: Tensor) -> Tensor:
        return ratios


class EqualShare(Allocation):
    """lambda^_i = (r_1 + ... + r_M) / M: the sum of the ratios in equal parts ("DB-PINN-Avg").

    Zhou et al. 2025, sec. 4.4.
    """

    def forward(self, ratios: Tensor, losses: Tensor) -> Tensor:
        included = ratios > 0
        return included * (ratios.sum() / included.sum())


class Difficulty(Allocation):
    """lambda^_i = G I_i / (I_1 + ... + I_M): the sum of the ratios, shared out by difficulty.

    G = r_1 + ... + r_M is the sum of the ratios. The difficulty index is I_i = L_i / mu_i, where
    mu_i is the running mean of the loss L_i over all updates, this one included. Zhou et al. 2025,
    eqs. 5 to 7.
    """

    mean_losses: Tensor
    count: Tensor

    def reset(self, num_conditions: int, like: Tensor) -> None:
        self.register_buffer("mean_losses", like.new_zeros(num_conditions))
        self.register_buffer("count", like.new_zeros(num_conditions))

    def forward(self, ratios: Tensor, losses: Tensor) -> Tensor:
        finite = (losses - losses).logical_not()  # the difference is 0, or nan
        self.count = self.count + finite
        means = torch.lerp(self.mean_losses, losses, self.count.reciprocal())
        self.mean_losses = torch.where(finite, means, self.mean_losses)
        index = torch.where(ratios.bool(), losses / means, ratios)
        return index * (ratios.sum() / index.sum())


AllocationName = Literal["pairwise", "average", "difficulty"]

BY_NAME: dict[str, Callable[..., Allocation]] = {
    "pairwise": Pairwise,
    "average": EqualShare,
    "difficulty": Difficulty,
}


def get(allocation: AllocationName | Allocation) -> Allocation:
    """The allocation of a name; an :class:`Allocation` is returned as it is.

    Args:
        allocation: ``"pairwise"``, ``"average"``, ``"difficulty"`` or an :class:`Allocation`.

    Raises:
        ValueError: If the name is unknown.
        TypeError: If `allocation` is neither a name nor an :class:`Allocation`.
    """
    return choose("allocation", allocation, Allocation, BY_NAME)
