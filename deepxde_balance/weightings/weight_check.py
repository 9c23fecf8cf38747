"""Finds the first update of the weights that set one that is not allowed."""

from __future__ import annotations

import torch
from torch import Tensor

#: Stands for no iteration: a later one than any.
_NEVER = torch.iinfo(torch.int64).max

#: The number of updates that are looked at together.
_MANY = 100


class WeightCheck:
    """Finds the first weights that are not finite, or negative where that is not allowed.

    To look at them takes several operations, on a tiny problem a good part of an iteration's time.
    So updates are noted, and looked at many at a time. Nothing waits for the device before
    :meth:`first_invalid`.

    Args:
        may_be_negative: Whether negative weights are allowed.
        finds_zeros: Whether it also looks for weights that are exactly 0.
    """

    def __init__(self, may_be_negative: bool, finds_zeros: bool = False):
        self._may_be_negative = may_be_negative
        self._finds_zeros = finds_zeros
        #: The noted updates: the iteration, the weights and what was read.
        self._iterations: list[int] = []
        self._weights: list[Tensor] = []
        self._read: list[Tensor] = []
        #: For each group the first iteration among those that were looked at, of a weight that is
        #: not allowed and of one that is 0.
        self._first: Tensor | None = None
        self._first_zero: Tensor | None = None

    def note(self, iteration: int, weights: Tensor, read: Tensor) -> None:
        """Notes an update.

        Args:
            iteration: Its iteration.
            weights: The weights that it set, shape (K,).
            read: What it read, of the same shape in each update. Where that is not finite, no
                weight is wrong.
        """
        known = self._iterations
        # Evenly spaced iterations need no copy from the host, for which a GPU would wait.
        if len(known) == _MANY or (len(known) > 1 and iteration - known[-1] != known[1] - known[0]):
            self._look()
        self._iterations.append(iteration)
        self._weights.append(weights.detach().clone())  # the update may change them in place
        self._read.append(read.detach())

    def first_invalid(self) -> list[int | None]:
        """For each group the first iteration with a weight that is not allowed; copies to the host.

        The list is empty if nothing was noted.
        """
        if self._iterations:
            self._look()
        return _iterations_of(self._first)

    def first_zeros(self) -> list[int | None]:
        """For each group the first iteration with a weight of exactly 0, as `first_invalid`."""
        if self._iterations:
            self._look()
        return _iterations_of(self._first_zero)

    def _look(self) -> None:
        """Looks at the noted updates, and forgets them."""
        weights = torch.stack(self._weights)
        wrong = ~weights.isfinite()
        if not self._may_be_negative:
            wrong = wrong | (weights < 0)
        wrong = wrong & torch.stack(self._read).isfinite().flatten(1).all(dim=1, keepdim=True)
        start, step = self._iterations[0], self._iterations[-1] - self._iterations[-2:][0]
        iterations = start + step * torch.arange(len(weights), device=weights.device)
        self._first = _earliest(self._first, wrong, iterations)
        if self._finds_zeros:
            self._first_zero = _earliest(self._first_zero, weights == 0, iterations)
        self._iterations, self._weights, self._read = [], [], []


def _earliest(known: Tensor | None, found: Tensor, iterations: Tensor) -> Tensor:
    """For each group the first iteration where `found` is true, or one that is known."""
    first = torch.where(found, iterations.unsqueeze(1), _NEVER).amin(dim=0)
    return first if known is None else torch.minimum(known, first)


def _iterations_of(first: Tensor | None) -> list[int | None]:
    numbers = [] if first is None else first.tolist()
    return [None if iteration == _NEVER else iteration for iteration in numbers]
