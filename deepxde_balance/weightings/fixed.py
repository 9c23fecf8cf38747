"""Weights that no update changes: `equal`, a list of numbers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .base import Static


class Equal(Static):
    """Weight 1 for every group: the baseline (`"equal"`)."""


class Fixed(Static):
    """A list of numbers, as in DeepXDE.

    Args:
        values: The weights, one per group.
    """

    def __init__(self, values: Sequence[float]):
        super().__init__()
        self.values = tuple(values)

    def reset(self, num_groups: int, like: Tensor) -> None:
        super().reset(num_groups, like)
        self.weights = like.new_tensor(self.values)

    def change(self, values: Sequence[float]) -> None:
        """Takes other weights, as many."""
        self.values = tuple(values)
        self.weights = self.weights.new_tensor(self.values)
