"""Averages: from the instantaneous weights of an update to the weights that are applied.

An average keeps one entry per condition group. Where an instantaneous weight is not positive and
finite, that group is left out of the update: its weight and its count of updates stay as they are.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from .._checks import choose, in_interval


def usable(values: Tensor) -> Tensor:
    """Where ratios or weights are what a weight can be: positive and finite."""
    return (values > 0) & (values < torch.inf)


class Average(nn.Module, ABC):
    """Smooths the weights over the updates; its state is one tensor per buffer, shape (M,)."""

    @abstractmethod
    def reset(self, num_conditions: int, like: Tensor) -> None:
        """Forgets all updates; the state takes the device and type of `like`."""

    @abstractmethod
    def forward(self, weights: Tensor, instantaneous: Tensor) -> Tensor:
        """Takes one update in.

        Args:
            weights: The weights applied so far, shape (M,); 1 before the first update.
            instantaneous: This update's weights, shape (M,); 0 leaves a group out.

        Returns:
            The weights to apply from now on, shape (M,).
        """


class EMA(Average):
    """(1 - alpha) lambda_i + alpha lambda^_i, from lambda_i = 1.

    Wang et al. 2021; Zhou et al. 2025, sec. 3.3; Deguchi & Asai 2023, eq. 16 (beta = 1 - alpha).

    Args:
        alpha: Share of the newest weights, in (0, 1].

    Raises:
        ValueError: If `alpha` is outside (0, 1].
    """

    def __init__(self, alpha: float = 0.1):
        super().__init__()
        self.alpha = in_interval("alpha", alpha, 0, 1, "(]")

    def reset(self, num_conditions: int, like: Tensor) -> None:
        pass

    def forward(self, weights: Tensor, instantaneous: Tensor) -> Tensor:
        moved = torch.lerp(weights, instantaneous, self.alpha)
        return torch.where(usable(instantaneous), moved, weights)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class BiasCorrectedEMA(Average):
    """m_i = beta m_i + (1 - beta) lambda^_i from m_i = 0; lambda_i = m_i / (1 - beta^t).

    Deguchi & Asai 2023, eq. 26.

    Args:
        beta: Share of the older weights, in [0, 1).

    Raises:
        ValueError: If `beta` is outside [0, 1).
    """

    moment: Tensor
    count: Tensor

    def __init__(self, beta: float = 0.99):
        super().__init__()
        self.beta = in_interval("beta", beta, 0, 1, "[)")

    def reset(self, num_conditions: int, like: Tensor) -> None:
        self.register_buffer("moment", like.new_zeros(num_conditions))
        self.register_buffer("count", like.new_zeros(num_conditions))

    def forward(self, weights: Tensor, instantaneous: Tensor) -> Tensor:
        taken = usable(instantaneous)
        moved = torch.lerp(self.moment, instantaneous, 1 - self.beta)
        self.moment = torch.where(taken, moved, self.moment)
        self.count = self.count + taken
        # 1 - beta^t, which would cancel for a beta close to 1.
        correction = -torch.expm1(self.count * math.log(self.beta)) if self.beta else 1.0
        return torch.where(taken, self.moment / correction, weights)

    def extra_repr(self) -> str:
        return f"beta={self.beta}"


class _OverAllUpdates(Average):
    """An average over all updates: it counts them, for each condition by itself."""

    count: Tensor

    def reset(self, num_conditions: int, like: Tensor) -> None:
        self.register_buffer("count", like.new_zeros(num_conditions))


class RunningMean(_OverAllUpdates):
    """(1 - 1/t) lambda_i + lambda^_i / t: the mean of all updates, by Welford's recursion.

    Zhou et al. 2025, eq. 8. No hyperparameter; the first update's weights are taken as they are.
    """

    def forward(self, weights: Tensor, instantaneous: Tensor) -> Tensor:
        taken = usable(instantaneous)
        self.count = self.count + taken
        moved = torch.lerp(weights, instantaneous, 1 / self.count)
        return torch.where(taken, moved, weights)


class GeometricMean(_OverAllUpdates):
    """exp of the mean of log lambda^_i: the geometric mean of all updates.

    As :class:`RunningMean` it has no hyperparameter and takes the first update as it is, but a few
    huge weights from an untrained network move it by their logarithm only. So do a few small
    ones: it also follows weights that collapse. Of this package, not of a paper; measured
    against the others in ``benchmarks/defaults.md``: better on some problems, much worse on others.
    """

    def forward(self, weights: Tensor, instantaneous: Tensor) -> Tensor:
        taken = usable(instantaneous)
        self.count = self.count + taken
        moved = torch.lerp(weights.log(), instantaneous.log(), 1 / self.count).exp()
        return torch.where(taken, moved, weights)


AverageName = Literal["ema", "bias-corrected-ema", "running-mean", "geometric-mean"]

_BY_NAME: dict[str, Callable[[], Average]] = {
    "ema": EMA,
    "bias-corrected-ema": BiasCorrectedEMA,
    "running-mean": RunningMean,
    "geometric-mean": GeometricMean,
}


def get(average: AverageName | Average) -> Average:
    """An average from its name, with its default parameter, or itself.

    The names are ``"ema"``, ``"bias-corrected-ema"``, ``"running-mean"`` and ``"geometric-mean"``.

    Raises:
        ValueError: If the name is unknown.
        TypeError: If `average` is neither a name nor an :class:`Average`.
    """
    return choose("average", average, Average, _BY_NAME)
