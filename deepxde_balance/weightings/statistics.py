"""Gradient statistics: the weight that would bring each condition level with the reference.

Such a weight is called a ratio. g_r is the gradient of the reference, g_i that of condition i.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

from torch import Tensor

from .._checks import is_number
from .group_gradients import GroupGradients
from .parts import choose


class Statistic(ABC):
    """Computes one ratio per condition group from the gradients of all groups."""

    @abstractmethod
    def __call__(self, gradients: GroupGradients, weights: Tensor) -> Tensor:
        """The ratios.

        Args:
            gradients: Unweighted gradients; row 0 is the reference, rows 1..M the conditions.
            weights: The conditions' current weights, shape (M,).

        Returns:
            One ratio per condition, shape (M,).
        """

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class MaxMean(Statistic):
    """max|g_r| / mean|lambda_i g_i|, with the current weight lambda_i (`"mean"`).

    Wang et al. 2021; Zhou et al. 2025, eq. 4 and algorithm 1, line 6; Deguchi & Asai 2023, eq. 15.
    """

    def __call__(self, gradients: GroupGradients, weights: Tensor) -> Tensor:
        return gradients.max_abs()[0] / (weights * gradients.mean_abs()[1:])


class Std(Statistic):
    """s(g_r) / s(g_i), where s is the sample standard deviation (`"std"`).

    Maddu et al. 2022; Deguchi & Asai 2023, eq. 18.
    """

    def __call__(self, gradients: GroupGradients, weights: Tensor) -> Tensor:
        level = gradients.std()
        return level[0] / level[1:]


class Kurtosis(Statistic):
    """[s(g_r) / k(g_r)] / [s(g_i) / k(g_i)], with standard deviation s, kurtosis k (`"kurtosis"`).

    Vemuri & Denzler 2023.
    """

    def __call__(self, gradients: GroupGradients, weights: Tensor) -> Tensor:
        level = gradients.std() / gradients.kurtosis()
        return level[0] / level[1:]


class Norm(Statistic):
    """||g_r||_p / ||g_i||_p (`"norm"` is p = 2).

    Deguchi & Asai 2023, eqs. 22 and 38.

    Args:
        p: Order of the norm, at least 1; ``math.inf`` for the largest magnitude.

    Raises:
        ValueError: If `p` is not a number of at least 1.
    """

    def __init__(self, p: float = 2):
        if not is_number(p) or not p >= 1:
            raise ValueError(f"p={p!r} is not allowed: the order of a norm is 1, 2, ... or inf.")
        self.p = float(p)

    def __call__(self, gradients: GroupGradients, weights: Tensor) -> Tensor:
        level = gradients.norm(self.p)
        return level[0] / level[1:]

    def __repr__(self) -> str:
        return f"Norm(p={self.p})"


StatisticName = Literal["mean", "std", "kurtosis", "norm"]

BY_NAME: dict[str, Callable[..., Statistic]] = {
    "mean": MaxMean,
    "std": Std,
    "kurtosis": Kurtosis,
    "norm": Norm,
}


def get(statistic: StatisticName | Statistic) -> Statistic:
    """The statistic of a name; a :class:`Statistic` is returned as it is.

    Args:
        statistic: ``"mean"``, ``"std"``, ``"kurtosis"``, ``"norm"`` or a :class:`Statistic`.

    Raises:
        ValueError: If the name is unknown.
        TypeError: If `statistic` is neither a name nor a :class:`Statistic`.
    """
    return choose("statistic", statistic, Statistic, BY_NAME)
