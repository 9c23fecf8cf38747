"""Guards: corrections of weights that watch the losses, each against one way to ruin a training."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from .._checks import choose, in_interval

#: Updates that the average of a loss looks back, to tell whether it falls.
_LOOK_BACK = 10


class Guard(nn.Module, ABC):
    """Multiplies the weights of M conditions by factors that depend on the losses so far.

    Derive from it to write a guard of your own: `reset` sets the state by ``self.register_buffer``,
    `forward` returns the guarded weights.
    """

    @abstractmethod
    def reset(self, num_conditions: int, like: Tensor) -> None:
        """Sets the guard to its start; the state gets the device and float type of `like`."""

    @abstractmethod
    def forward(self, weights: Tensor, losses: Tensor) -> Tensor:
        """The guarded weights of one update.

        Args:
            weights: The conditions' weights without the guard, the reference's being 1, shape (M,).
            losses: Unweighted group losses, the reference first, shape (M + 1,).

        Returns:
            Weights of shape (M,). Where a loss is not finite, the factors stay as they were.
        """


class _Factors(Guard):
    """A guard that multiplies its factors by a number at each update that calls for it."""

    factors: Tensor
    largest_losses: Tensor

    def reset(self, num_conditions: int, like: Tensor) -> None:
        self.register_buffer("factors", like.new_ones(num_conditions))
        self.register_buffer("largest_losses", like.new_zeros(num_conditions))

    def forward(self, weights: Tensor, losses: Tensor) -> Tensor:
        finite = losses.isfinite().all()
        conditions = torch.where(finite, losses[1:], 0.0)
        self.largest_losses = torch.maximum(self.largest_losses, conditions)
        changed = self.changed(weights * self.factors * losses[1:] / losses[0], conditions)
        self.factors = torch.where(finite, changed, self.factors)
        return weights * self.factors

    @abstractmethod
    def changed(self, shares: Tensor, losses: Tensor) -> Tensor:
        """The factors after one more update.

        Args:
            shares: Weighted losses of the conditions over that of the reference, shape (M,).
            losses: Unweighted losses of the conditions, shape (M,).
        """


class Growth(_Factors):
    """Raises the weight of a condition that is let go, until it is learned (`"growth"`).

    Where the residual is small at a wrong solution (Laplace's equation near a constant), rules
    that compare gradients let the conditions go. A condition is let go while all of this is true:

    - it is not met: its loss is more than `met` of its largest loss so far;
    - its weighted loss is larger than the reference's, so that the weighted sum allows no better;
    - its loss does not fall: it is above `falling` of its geometric mean over about the last 10
      updates.

    Then its factor, 1 at the start, grows by `rate` at each update.

    This guard is not from a paper. It is in the spirit of adaptive penalties for constraints
    (Hu, Basir & Senocak 2026), but it does not change when a loss changes units.

    Args:
        rate: Growth of a factor at an update, at least 1.
        met: Share of its largest loss below which a condition is met, in [0, 1).
        falling: Share of its recent mean below which a loss falls, in (0, 1].

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import deepxde_balance as ddb
        >>> ddb.DB("kurtosis", update_every=10, guard=ddb.Growth(rate=1.1)).guard
        Growth(rate=1.1, met=0.01, falling=0.95)
    """

    recent: Tensor

    def __init__(self, rate: float = 1.05, met: float = 0.01, falling: float = 0.95):
        super().__init__()
        self.rate = in_interval("rate", rate, 1, math.inf, "[)")
        self.met = in_interval("met", met, 0, 1, "[)")
        self.falling = in_interval("falling", falling, 0, 1, "(]")

    def reset(self, num_conditions: int, like: Tensor) -> None:
        super().reset(num_conditions, like)
        self.register_buffer("recent", like.new_full((num_conditions,), math.nan))

    def changed(self, shares: Tensor, losses: Tensor) -> Tensor:
        logs = losses.log()
        known = self.recent.isfinite()
        stuck = known & (logs > self.recent + math.log(self.falling))
        moved = torch.where(known, torch.lerp(self.recent, logs, 1 / _LOOK_BACK), logs)
        self.recent = torch.where(logs.isfinite(), moved, self.recent)
        let_go = stuck & (shares > 1) & (losses > self.met * self.largest_losses)
        return torch.where(let_go, self.factors * self.rate, self.factors)

    def extra_repr(self) -> str:
        return f"rate={self.rate}, met={self.met}, falling={self.falling}"


class Release(_Factors):
    """Lowers the weight of a condition that is met, so that it is not driven on (`"release"`).

    Once a condition is met its gradient is tiny, and rules that compare gradients raise its weight
    without end, while the residual is forgotten. A factor falls by `rate` at each update that finds
    the condition met and negligible: its loss below `met` of its largest loss so far, its
    weighted loss below `share` of the reference's. The factor rises again, at most to 1, while the
    weighted loss is above three times that share.

    This guard is not from a paper.

    Args:
        rate: What a factor is divided by at an update, at least 1.
        met: Share of its largest loss below which a condition is met, in (0, 1].
        share: Share of the reference's loss below which a weighted loss is negligible, above 0.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import deepxde_balance as ddb
        >>> ddb.DB("kurtosis", update_every=10, guard="release").guard
        Release(rate=1.2, met=0.001, share=0.01)
    """

    def __init__(self, rate: float = 1.2, met: float = 1e-3, share: float = 0.01):
        super().__init__()
        self.rate = in_interval("rate", rate, 1, math.inf, "[)")
        self.met = in_interval("met", met, 0, 1, "(]")
        self.share = in_interval("share", share, 0, math.inf, "()")

    def changed(self, shares: Tensor, losses: Tensor) -> Tensor:
        negligible = (shares < self.share) & (losses < self.met * self.largest_losses)
        missed = ~negligible & (shares > 3 * self.share)
        back = torch.where(missed, (self.factors * self.rate).clamp(max=1.0), self.factors)
        return torch.where(negligible, self.factors / self.rate, back)

    def extra_repr(self) -> str:
        return f"rate={self.rate}, met={self.met}, share={self.share}"


GuardName = Literal["growth", "release"]

_BY_NAME: dict[str, Callable[[], Guard]] = {"growth": Growth, "release": Release}


def get(guard: GuardName | Guard | None) -> Guard | None:
    """The guard of a name, with its default parameters; a :class:`Guard` is returned as it is.

    Args:
        guard: ``"growth"``, ``"release"``, a :class:`Guard`, or ``None`` for no guard.

    Raises:
        ValueError: If the name is unknown.
        TypeError: If `guard` is neither a name nor a :class:`Guard`.
    """
    return None if guard is None else choose("guard", guard, Guard, _BY_NAME)
