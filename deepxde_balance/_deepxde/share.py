"""A rank's share of the points of a problem, put in the place of all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import deepxde as dde
import numpy as np
from torch import Tensor

from .batch import Batch, BatchSnapshot, condition_spans

#: Conditions whose error at a point is made of two points of the batch, the first of which is in
#: the first half of the condition's points and the second in the other half, in the same order.
_PAIRED = (dde.icbc.PeriodicBC, dde.icbc.Interface2DBC)


class Part(NamedTuple):
    """The errors of a term that a rank computes.

    Args:
        number: The number of the term's errors on all ranks together.
        beg: The first error of this rank.
        end: The last one + 1.
        counts: Whether the rank's errors enter the sum over the ranks. Where a term has fewer
            errors than there are ranks, all ranks compute all, and those of rank 0 count.
    """

    number: int
    beg: int
    end: int
    counts: bool

    @property
    def factor(self) -> float:
        """What makes a mean over the rank's errors its contribution to the mean over all."""
        return (self.end - self.beg) / self.number if self.counts else 0.0


def part_of(number: int, rank: int, size: int) -> Part:
    """The part of a rank: errors that follow each other, as many as on any other rank, or one more.

    Args:
        number: The number of errors.
        rank: The rank.
        size: The number of ranks.
    """
    if number < size:
        return Part(number, 0, number, rank == 0)
    return Part(number, number * rank // size, number * (rank + 1) // size, True)


class Share:
    """A rank's share of a batch.

    DeepXDE and its conditions read the points, their numbers and targets from the problem. Within
    :meth:`exchanged` the problem has those of the share.

    Args:
        problem: The data.
        batch: All points.
        rank: The rank.
        size: The number of ranks.

    Raises:
        ValueError: On every rank, if a condition has no points.

    Attributes:
        batch: The rank's points.
        residual: The part of each residual.
        conditions: The part of each condition.
    """

    def __init__(self, problem: dde.data.PDE, batch: Batch, rank: int, size: int):
        self._seen = BatchSnapshot(batch)
        spans = condition_spans(problem)
        first = spans[-1][1] if spans else 0
        self.residual = part_of(len(batch.inputs) - first, rank, size)
        rows, self.conditions = [], []
        targets: list[tuple[Any, str, Any]] = []
        for i, (condition, (beg, end)) in enumerate(zip(problem.bcs, spans, strict=True)):
            if beg == end:
                raise ValueError(f"Condition {i}, {type(condition).__name__}, has no points.")
            halves = 2 if isinstance(condition, _PAIRED) else 1
            part = part_of((end - beg) // halves, rank, size)
            own = np.arange(part.beg, part.end)
            rows.append(np.concatenate([beg + k * part.number + own for k in range(halves)]))
            self.conditions.append(part)
            targets += _own_targets(condition, part)
        numbers = [len(of_condition) for of_condition in rows]
        where = np.concatenate([*rows, first + np.arange(self.residual.beg, self.residual.end)])
        self.batch = Batch(*(None if array is None else array[where] for array in batch))
        #: The targets of all points, by owner and attribute.
        self._all_targets = [(owner, name, getattr(owner, name)) for owner, name, _ in targets]
        #: What the next exchange puts in place: owner, attribute and value.
        self._apart = [
            *targets,
            (problem, "train_x", self.batch.inputs),
            (problem, "num_bcs", numbers),
        ]

    def is_of(self, batch: Batch) -> bool:
        """Whether it is the share of these very points, and of the conditions' present targets."""
        return self._seen.is_(batch) and all(
            getattr(owner, name) is value for owner, name, value in self._all_targets
        )

    @contextmanager
    def exchanged(self) -> Iterator[None]:
        """Exchanges the problem's points for the share's; within itself, for all points again."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        now = [(owner, name, getattr(owner, name)) for owner, name, _ in self._apart]
        for owner, name, value in self._apart:
            setattr(owner, name, value)
        self._apart = now


def _own_targets(condition: Any, part: Part) -> list[tuple[Any, str, Any]]:
    """The part of the targets that a condition has one by one: owner, attribute and value."""
    chosen = getattr(condition, "batch_indices", None)
    if chosen is not None:
        return [(condition, "batch_indices", chosen[part.beg : part.end])]
    values = getattr(condition, "values", None)
    if isinstance(values, Tensor) and values.dim() > 0 and len(values) == part.number > 1:
        return [(condition, "values", values[part.beg : part.end])]
    return []
