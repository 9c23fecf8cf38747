"""Averages: from the instantaneous weights of an update to the weights that are applied.

Every condition group is averaged by itself. A group whose instantaneous weight is not positive and
finite is left out of the update: its weight and its count of updates stay as they are.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from .._checks import in_interval
from .parts import choose
from .stateful import Stateful


def usable(values: Tensor) -> Tensor:
    """Whether each ratio or weight is positive and finite, as a boolean tensor."""
    return values.nan_to_num(0.0, 0.0, 0.0) > 0


class Average(Stateful, ABC):
    """Smooths the weights of M groups over the updates; each buffer of its state has shape (M,).

    Example:
        An average of one's own, which remembers nothing:

        >>> import deepxde_balance as ddb
        >>> class Latest(ddb.weightings.Average):
        ...     def reset(self, num_conditions, like):
        ...         pass
        ...     def forward(self, weights, instantaneous):
        ...         return instantaneous.where(instantaneous > 0, weights)
        >>> weighting = ddb.DB("kurtosis", average=Latest())
    """

    @abstractmethod
    def reset(self, num_conditions: int, like: Tensor) -> None:
        """Forgets all updates; the state gets the device and float type of `like`."""

    @abstractmethod
    def forward(self, weights: Tensor, instantaneous: Tensor) -> Tensor:
        """The weights to apply after one more update.

        Args:
            weights: The weights applied so far, shape (M,); 1 before the first update.
            instantaneous: This update's instantaneous weights, shape (M,); 0 leaves a group out.

        Returns:
            The weights to apply from now on, shape (M,).
        """


class EMA(Average):
    """Exponential moving average: (1 - alpha) lambda_i + alpha lambda^_i, from lambda_i = 1.

    Wang et al. 2021; Zhou et al. 2025, sec. 3.3; Deguchi & Asai 2023, eq. 16 (beta = 1 - alpha).

    Args:
        alpha: Share of the newest weights, in (0, 1].

    Raises:
        ValueError: If `alpha` is outside (0, 1].

    Example:
        >>> import deepxde_balance as ddb
        >>> ddb.DB("kurtosis", average=ddb.EMA(0.5)).average
        EMA(alpha=0.5)
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
    """An exponential moving average without the bias towards its start, as in Adam.

    m_i = beta m_i + (1 - beta) lambda^_i from m_i = 0, and lambda_i = m_i / (1 - beta^t) after t
    updates of the group. Deguchi & Asai 2023, eq. 26.

    Args:
        beta: Share of the older weights, in [0, 1).

    Raises:
        ValueError: If `beta` is outside [0, 1).

    Example:
        >>> import deepxde_balance as ddb
        >>> ddb.DB("kurtosis", average=ddb.BiasCorrectedEMA(0.9)).average
        BiasCorrectedEMA(beta=0.9)
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
        included = usable(instantaneous)
        moved = torch.lerp(self.moment, instantaneous, 1 - self.beta)
        self.moment = torch.where(included, moved, self.moment)
        self.count = self.count + included
        # 1 - beta^t. Written so, its digits would cancel for a beta close to 1.
        correction = -torch.expm1(self.count * math.log(self.beta)) if self.beta else 1.0
        return torch.where(included, self.moment / correction, weights)

    def extra_repr(self) -> str:
        return f"beta={self.beta}"


class _OverAllUpdates(Average):
    """An average over all updates, which counts the updates of each condition."""

    count: Tensor

    def __init__(self) -> None:  # without PyTorch's arguments, so that none are taken
        super().__init__()

    def reset(self, num_conditions: int, like: Tensor) -> None:
        self.register_buffer("count", like.new_zeros(num_conditions))


class RunningMean(_OverAllUpdates):
    """The mean of the weights of all updates: (1 - 1/t) lambda_i + lambda^_i / t at update t.

    Zhou et al. 2025, eq. 8 (Welford's recursion). It has no hyperparameter. After the first update
    the weights are that update's instantaneous weights.

    Example:
        >>> import deepxde_balance as ddb
        >>> ddb.GradientWeighting("norm", "pairwise", ddb.RunningMean()).average
        RunningMean()
    """

    def forward(self, weights: Tensor, instantaneous: Tensor) -> Tensor:
        included = usable(instantaneous)
        self.count = self.count + included
        moved = torch.lerp(weights, instantaneous, self.count.reciprocal())
        return torch.where(included, moved, weights)


class GeometricMean(_OverAllUpdates):
    """The geometric mean of the weights of all updates: exp of the mean of log lambda^_i.

    Like :class:`RunningMean` it has no hyperparameter and starts at the first update's weights. A
    few huge weights from an untrained network move it less than :class:`RunningMean`. A few tiny
    weights move it more, so it also follows weights that collapse.

    This average is not from a paper. ``benchmarks/defaults.md`` compares it with the others: it is
    better on some problems and much worse on others.

    Example:
        >>> import deepxde_balance as ddb
        >>> ddb.DB("kurtosis", average="geometric-mean").average
        GeometricMean()
    """

    def forward(self, weights: Tensor, instantaneous: Tensor) -> Tensor:
        included = usable(instantaneous)
        self.count = self.count + included
        moved = torch.lerp(weights.log(), instantaneous.log(), self.count.reciprocal()).exp()
        return torch.where(included, moved, weights)


AverageName = Literal["ema", "bias-corrected-ema", "running-mean", "geometric-mean"]

BY_NAME: dict[str, Callable[..., Average]] = {
    "ema": EMA,
    "bias-corrected-ema": BiasCorrectedEMA,
    "running-mean": RunningMean,
    "geometric-mean": GeometricMean,
}


def get(average: str | Average) -> Average:
    """The average of a name or word; an :class:`Average` is returned as it is.

    Args:
        average: ``"ema"``, ``"bias-corrected-ema"``, ``"running-mean"``, ``"geometric-mean"``, one
            of them with its parameter, such as ``"ema:alpha=0.5"``, or an :class:`Average`.

    Raises:
        ValueError: If the name is unknown, the word can't be read, or the parameter's value is not
            allowed.
        TypeError: If `average` is neither a text nor an :class:`Average`, or there is no such
            parameter.

    Example:
        >>> from deepxde_balance.weightings import averages
        >>> averages.get("ema:alpha=0.5")
        EMA(alpha=0.5)
    """
    return choose("average", average, Average, BY_NAME)
