"""Weights that do not change: `equal`, a list of numbers, `keep`."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .base import Weighting


class Static(Weighting):
    """Base class of weights that no update changes."""

    dynamic = False

    def __init__(self) -> None:
        super().__init__()


class Equal(Static):
    """Weight 1 for every group: the baseline (`"equal"`)."""


class Fixed(Static):
    """A list of numbers, as in DeepXDE.

    Args:
        values: The weights, one per group.
    """

    def __init__(self, values: Sequence[float]):
        self.values = tuple(values)
        super().__init__()

    def reset(self, num_groups: int, like: Tensor) -> None:
        super().reset(num_groups, like)
        if num_groups:
            self.weights = like.new_tensor(self.values)

    def change(self, values: Sequence[float]) -> None:
        """Takes other weights, as many."""
        self.values = tuple(values)
        self.weights = self.weights.new_tensor(self.values)


class Keep(Static):
    """The weights that the model has now, frozen (`"keep"`).

    Adam with a dynamic strategy, then L-BFGS with the weights that it ended with, is what Zhou et
    al. 2025 do for the inverse Burgers problem (supplement).
    """

    adapted = True
