"""Weights that no update changes: `"equal"`, and a list of numbers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .base import Static


class Equal(Static):
    """Weight 1 for every group: the baseline (`"equal"`).

    Example:
        >>> import deepxde_balance as ddb
        >>> ddb.problems.get("harmonic").model(ddb.weightings.Equal(), verbose=0).weights
        {'pde': 1.0, 'ic': 1.0}
    """


class Fixed(Static):
    """Weights given as a list of numbers, as in DeepXDE.

    Args:
        values: The weights, one per group.

    Example:
        >>> import deepxde_balance as ddb
        >>> ddb.weightings.Fixed([1, 100]).values
        (1, 100)
    """

    def __init__(self, values: Sequence[float]):
        super().__init__()
        self.values = tuple(values)

    def check(self, group_names: Sequence[str]) -> None:
        if len(self.values) != len(group_names):
            raise ValueError(
                f"Fixed has {len(self.values)} weights, but there are {len(group_names)} groups: "
                f"{', '.join(group_names)}."
            )

    def reset(self, num_groups: int, like: Tensor) -> None:
        super().reset(num_groups, like)
        self.weights = like.new_tensor(self.values)

    def change(self, values: Sequence[float]) -> None:
        """Replaces the weights by others, one per group."""
        self.values = tuple(values)
        self.weights = self.weights.new_tensor(self.values)
