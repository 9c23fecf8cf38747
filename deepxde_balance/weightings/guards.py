"""Guards: corrections of weights that watch the losses, each against one way to ruin a training."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from .. import _checks
from .parts import choose
from .smoothed_losses import SmoothedLosses
from .stateful import Stateful

#: Growth of a factor after which a condition whose loss made no progress is given up.
_LARGEST_GROWTH = 3e3

#: Share of the loss where growth began below which it made progress.
_PROGRESS = 0.7

#: Bounds of the factors, far beyond what helps, against overflow.
_LARGEST_FACTOR, _SMALLEST_FACTOR = 1e6, 1e-12


class Guard(Stateful, ABC):
    """Multiplies the weights of M conditions by factors that depend on the losses so far.

    Derive from it to write a guard of your own: `reset` sets the state by ``self.register_buffer``,
    `forward` returns the guarded weights.

    Example:
        >>> import deepxde_balance as ddb
        >>> class AtLeastEqual(ddb.Guard):
        ...     def reset(self, num_conditions, like):
        ...         pass
        ...     def forward(self, weights, losses):
        ...         return weights.clamp(min=1)
        >>> weighting = ddb.DN(guard=AtLeastEqual())
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
    """A guard that multiplies its factors by a number at each update that calls for it.

    What "the largest loss so far" is, :class:`SmoothedLosses` says.
    """

    factors: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.seen = SmoothedLosses()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"

    def reset(self, num_conditions: int, like: Tensor) -> None:
        self.register_buffer("factors", like.new_ones(num_conditions))
        self.seen.reset(num_conditions + 1, like)

    def forward(self, weights: Tensor, losses: Tensor) -> Tensor:
        finite = losses.isfinite().all()
        before = self.seen.mean()
        self.seen(torch.where(finite, losses, torch.nan))
        self.factors = self.changed(weights * self.factors, losses, before, finite)
        return weights * self.factors

    @abstractmethod
    def changed(self, weights: Tensor, losses: Tensor, before: Tensor, finite: Tensor) -> Tensor:
        """The factors after one more update.

        Args:
            weights: The conditions' weights with the factors so far, the reference's being 1,
                shape (M,).
            losses: Unweighted losses, the reference first, shape (M + 1,).
            before: Their smoothed values before this update, nan at the first, shape (M + 1,).
            finite: Whether all losses are finite; if not, nothing may change. Shape ().
        """


class Growth(_Factors):
    """Raises the weight of a condition that is let go, until it is learned (`"growth"`).

    Where the residual is small at a wrong solution (Laplace's equation near a constant), rules
    that compare gradients let the conditions go. A condition is let go while all of this is true,
    where a smoothed loss is its geometric mean over about the last 10 updates:

    - it is not met: its smoothed loss is more than `met` of its largest so far;
    - its smoothed loss, weighted, is larger than the reference's, so that the weighted sum allows
      no better;
    - its loss does not fall: it is above `falling` of its smoothed value. A loss that falls by less
      than about 0.5 % an update does not fall in this sense.

    Then its factor, 1 at the start, grows by `rate` at each update. It may grow 3000-fold until the
    loss is lower by 30 %, and from there 3000-fold again. If the loss is not lower by then, the
    condition can't be met better (noise in the data, corners that contradict each other): the
    factor goes back to where that growth began and stays there.

    The losses are smoothed because a factor that has grown stays: in a long training at a constant
    rate they jump again and again, and a condition that was met long ago would seem to be let go
    for a few updates of each jump.

    This guard is not from a paper. It is in the spirit of adaptive penalties for constraints
    (Hu, Basir & Senocak 2026), but it does not change when a loss changes units.

    Args:
        rate: Growth of a factor at an update, at least 1. The default is meant for an update every
            10 iterations.
        met: Share of its largest loss below which a condition is met, in [0, 1).
        falling: Share of its smoothed value below which a loss falls, in (0, 1].

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import deepxde_balance as ddb
        >>> ddb.DB("kurtosis", update_every=10, guard=ddb.Growth(rate=1.1)).guard
        Growth(rate=1.1, met=0.01, falling=0.95)
    """

    base_factors: Tensor
    base_losses: Tensor
    given_up: Tensor

    def __init__(self, rate: float = 1.05, met: float = 0.01, falling: float = 0.95):
        super().__init__()
        self.rate = _checks.in_interval("rate", rate, 1, math.inf, "[)")
        self.met = _checks.in_interval("met", met, 0, 1, "[)")
        self.falling = _checks.in_interval("falling", falling, 0, 1, "(]")

    def reset(self, num_conditions: int, like: Tensor) -> None:
        super().reset(num_conditions, like)
        # The factors and smoothed losses that the growth is measured from.
        self.register_buffer("base_factors", like.new_ones(num_conditions))
        self.register_buffer("base_losses", like.new_full((num_conditions,), math.inf))
        self.register_buffer("given_up", torch.zeros_like(self.factors, dtype=torch.bool))

    def changed(self, weights: Tensor, losses: Tensor, before: Tensor, finite: Tensor) -> Tensor:
        reference, mean = self.seen.mean().tensor_split([1])
        stuck = (losses > self.falling * before)[1:]  # not at the first, where `before` is nan
        let_go = stuck & (weights * mean > reference) & (mean > self.met * self.seen.largest()[1:])
        progress = (mean < _PROGRESS * self.base_losses) | (self.factors == self.base_factors)
        progress = progress & finite & ~self.given_up
        self.base_losses = torch.where(progress, mean, self.base_losses)
        self.base_factors = torch.where(progress, self.factors, self.base_factors)
        self.given_up = self.given_up | (self.factors > _LARGEST_GROWTH * self.base_factors)
        grown = torch.where(let_go & finite, self.factors * self.rate, self.factors)
        largest = min(_LARGEST_FACTOR, torch.finfo(grown.dtype).max)
        return torch.where(self.given_up, self.base_factors, grown.clamp(max=largest))

    def extra_repr(self) -> str:
        return f"rate={self.rate}, met={self.met}, falling={self.falling}"


class Release(_Factors):
    """Lowers the weight of a condition that is met, so that it is not driven on (`"release"`).

    Once a condition is met its gradient is tiny, and rules that compare gradients raise its weight
    without end, while the residual is forgotten. A factor falls by `rate` at each update that finds
    the condition met and negligible: its loss below `met` of its largest loss so far, its
    weighted loss below `share` of the reference's. The factor rises again, at most to 1, while the
    condition is not met or its weighted loss is above three times that share.

    This guard is not from a paper.

    Args:
        rate: What a factor is divided by at an update, at least 1. No factor falls below 1e-12.
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
        self.rate = _checks.in_interval("rate", rate, 1, math.inf, "[)")
        self.met = _checks.in_interval("met", met, 0, 1, "(]")
        self.share = _checks.in_interval("share", share, 0, math.inf, "()")

    def changed(self, weights: Tensor, losses: Tensor, before: Tensor, finite: Tensor) -> Tensor:
        shares = weights * losses[1:] / losses[0]
        met = (losses < self.met * self.seen.largest())[1:]
        lower = met & (shares < self.share)
        higher = ~met | (shares > 3 * self.share)
        changed = torch.where(lower, self.factors / self.rate, self.factors)
        changed = torch.where(higher, self.factors * self.rate, changed)
        return torch.where(finite, changed.clamp(_SMALLEST_FACTOR, 1.0), self.factors)

    def extra_repr(self) -> str:
        return f"rate={self.rate}, met={self.met}, share={self.share}"


GuardName = Literal["growth", "release"]

BY_NAME: dict[str, Callable[..., Guard]] = {"growth": Growth, "release": Release}


def get(guard: str | Guard | None) -> Guard | None:
    """The guard of a name or word; a :class:`Guard` is returned as it is.

    Args:
        guard: ``"growth"``, ``"release"``, one of them with a parameter, such as
            ``"growth:rate=1.1"``, a :class:`Guard`, or ``None`` for no guard.

    Raises:
        ValueError, TypeError: As :func:`deepxde_balance.weightings.averages.get`.
    """
    return None if guard is None else choose("guard", guard, Guard, BY_NAME)
