"""Causal weights: later times count when the earlier ones are learned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import _checks
from .base import PointState, PointWeighting, WeighedTerm

#: The tolerances of the paper, one after the other.
LADDER = (1e-2, 1e-1, 1.0, 1e1, 1e2)


class Causal(PointWeighting):
    """Causal weights: a residual counts when those at earlier times are small (`"causal"`).

    The residual points are divided by time into chunks of equal numbers of points. The weight of
    the points of chunk k is w_k = exp(-tolerance (L_1 + ... + L_(k-1))), with L_j the mean squared
    residual of chunk j, summed over the residuals of a system (Wang, Sankaran & Perdikaris 2024,
    "Respecting causality for training physics-informed neural networks"). Points of the same time
    are in one chunk.

    `progress` is the smallest weight: 1 when all times are learned.

    Args:
        tolerance: How strictly later times wait for earlier ones, positive. With several
            ascending values, or ``"ladder"`` for 1e-2, 1e-1, 1, 10, 100, the next one follows when
            the smallest weight exceeds `threshold`.
        chunks: The number of chunks, at least 2.
        threshold: See `tolerance`; in (0, 1).

    Raises:
        ValueError: If an argument is out of its range. At compile: if the problem has no time
            coordinate, or a term is no PDE residual.

    Example:
        >>> import deepxde_balance as ddb
        >>> model = ddb.problems.get("harmonic").model("equal", verbose=0)
        >>> causal = ddb.Causal(tolerance=[0.1, 1, 10], chunks=16)
        >>> model.compile("adam", lr=1e-3, point_weights=causal, verbose=0)
    """

    residuals_only = True

    def __init__(
        self,
        tolerance: float | Sequence[float] | np.ndarray | str = 1.0,
        chunks: int = 32,
        threshold: float = 0.99,
    ):
        super().__init__()
        self.tolerance = _checked_tolerance(tolerance)
        self.chunks = _checks.positive_int("chunks", chunks)
        if self.chunks < 2:
            raise ValueError(f"chunks={chunks!r} is not allowed: it must be at least 2.")
        self.threshold = _checks.in_interval("threshold", threshold, 0, 1, "()")
        #: For each term the chunk of every point, shape (N,).
        self._chunks: dict[int, Tensor] = {}
        self._tolerances = torch.tensor(self.tolerance)
        self._level = torch.zeros((), dtype=torch.int64)
        self._smallest = torch.ones(())

    def reset(self, terms: Mapping[int, WeighedTerm], like: Tensor) -> None:
        for term in terms.values():
            if not term.residual:
                raise ValueError(
                    f"Causal weights are for PDE residuals; {term.name} is a condition: give it "
                    "another point weighting."
                )
            if not term.has_time:
                raise ValueError(
                    "Causal weights order the points by time, but this problem has no time "
                    "coordinate: its geometry is neither a GeometryXTime nor a TimeDomain. Use "
                    '"rba" or "brdr".'
                )
        super().reset(terms, like)
        self._chunks = {}
        self._tolerances = like.new_tensor(self.tolerance)
        self._level = torch.zeros((), dtype=torch.int64, device=like.device)
        self._smallest = like.new_ones(())

    @property
    def progress(self) -> float:
        """The smallest weight in the last iteration. Copies to the host."""
        return float(self._smallest)

    @property
    def present_tolerance(self) -> float:
        """The tolerance of the coming iteration. Copies to the host."""
        return self.tolerance[int(self._level)]

    def fresh(self, term: int, points: Tensor) -> PointState:
        return {"w": torch.ones_like(points[:, 0])}

    def weights_of(self, state: PointState) -> Tensor:
        return state["w"]

    def start(self, term: int, points: Tensor) -> None:
        super().start(term, points)
        self._chunks[term] = self._divided(points)

    def carry_over(self, term: int, points: Tensor, old: Tensor) -> None:
        super().carry_over(term, points, old)
        self._chunks[term] = self._divided(points)

    def tensors(self) -> list[Tensor]:
        return [self._level, self._smallest, *super().tensors()]

    def set_tensors(self, tensors: Sequence[Tensor]) -> None:
        self._level, self._smallest, *of_points = tensors
        super().set_tensors(of_points)

    def _divided(self, points: Tensor) -> Tensor:
        """The chunk of every point: by the number of points that are earlier."""
        times = points[:, -1].contiguous()
        earlier = torch.searchsorted(times.sort().values, times)
        return earlier * self.chunks // len(times)

    def update(self, errors: Mapping[int, Tensor]) -> None:
        losses = sum(self._chunk_losses(i, of_term) for i, of_term in errors.items())
        assert isinstance(losses, Tensor)
        earlier = torch.cat([losses.new_zeros(1), losses[:-1].cumsum(dim=0)])
        # An index in brackets would wait for the device.
        tolerance = self._tolerances.index_select(0, self._level.view(1))
        of_chunks = torch.exp(-tolerance * earlier)
        usable = of_chunks.isfinite().all()
        smallest = torch.stack([of_chunks[self._chunks[i]].min() for i in errors]).min()
        for i in errors:
            weights = of_chunks[self._chunks[i]]
            self.set_state(i, {"w": torch.where(usable, weights, self.state(i)["w"])})
        self._smallest = torch.where(usable, smallest, self._smallest)
        level = self._level + (usable & (self._smallest > self.threshold))
        self._level = level.clamp(max=len(self.tolerance) - 1)

    def _chunk_losses(self, term: int, errors: Tensor) -> Tensor:
        """The mean squared error of each chunk, 0 for an empty one, shape (chunks,)."""
        squares, chunk = self.magnitude(errors).square(), self._chunks[term]
        sums = squares.new_zeros(self.chunks).index_add_(0, chunk, squares)
        numbers = squares.new_zeros(self.chunks).index_add_(0, chunk, torch.ones_like(squares))
        return sums / numbers.clamp(min=1)

    def state_dict(self) -> dict[str, Any]:
        chunks = {i: chunk.clone() for i, chunk in self._chunks.items()}
        return super().state_dict() | {
            "chunks": chunks,
            "level": self._level.clone(),
            "smallest": self._smallest.clone(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._chunks = {i: chunk.clone() for i, chunk in state["chunks"].items()}
        self._level, self._smallest = state["level"].clone(), state["smallest"].clone()


def _checked_tolerance(given: Any) -> tuple[float, ...]:
    """The tolerances, one after the other."""
    if isinstance(given, str) and given == "ladder":
        return LADDER
    if isinstance(given, (np.ndarray, Tensor)):
        given = given.tolist()
    if _checks.is_number(given):
        return (_checks.in_interval("tolerance", given, 0, math.inf, "()"),)
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise ValueError(
            f"tolerance={given!r} is not allowed: give a number, ascending numbers or 'ladder'."
        )
    values = tuple(
        _checks.in_interval(f"tolerance[{i}]", value, 0, math.inf, "()")
        for i, value in enumerate(given)
    )
    if list(values) != sorted(set(values)):
        raise ValueError(f"tolerance={given!r} is not allowed: the values must ascend.")
    return values
