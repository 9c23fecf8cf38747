"""SA: one weight per point, learned against the network."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .. import _checks
from .base import Reads, Scale, Weighting

_MOMENTS = ("exp_avg", "exp_avg_sq")


class SA(Weighting):
    """Self-adaptive weights: one per point, that grow where the error is large (`"sa"`).

    Term i's loss becomes mean((w_p e_p)^2) over its points p. While the network minimises it, the
    weights climb it, with an Adam of their own (McClenny & Braga-Neto 2023, eqs. 7 to 9, with the
    mask w^2). They start at random, uniform in [0, residual_start] and [0, condition_start].

    A point keeps its weight for as long as it is among the training points; where points are
    resampled, new ones get a fresh weight. `weights` shows each group's mean of w^2.

    Args:
        lr: Learning rate of the weights' Adam.
        residual_start: Upper end of the residual weights' start.
        condition_start: Upper end of the conditions' weights' start.
        update_every: Iterations from one step of the weights to the next.
        scale: Static factors on the losses, see :class:`Weighting`.

    Raises:
        ValueError: If an argument is not positive and finite.
    """

    reads = Reads.POINT_ERRORS

    def __init__(
        self,
        lr: float = 0.005,
        residual_start: float = 1.0,
        condition_start: float = 100.0,
        update_every: int = 1,
        scale: Scale | None = None,
    ):
        super().__init__(update_every, scale)
        self.lr = _checks.in_interval("lr", lr, 0, math.inf, "()")
        self.residual_start = _checks.in_interval(
            "residual_start", residual_start, 0, math.inf, "()"
        )
        self.condition_start = _checks.in_interval(
            "condition_start", condition_start, 0, math.inf, "()"
        )

    def reset(self, num_groups: int, like: Tensor) -> None:
        super().reset(num_groups, like)
        self._of_points: dict[int, Tensor] = {}
        self._adam: torch.optim.Adam | None = None

    def start(self, term: int, number: int, residual: bool) -> None:
        """Gives a term's points their first weights.

        Args:
            term: The term's position.
            number: How many errors it has, one per point.
            residual: Whether it is a PDE residual.
        """
        self._put(term, self._fresh(number, residual))

    def _fresh(self, number: int, residual: bool) -> Tensor:
        start = self.residual_start if residual else self.condition_start
        return torch.rand(number, dtype=self.weights.dtype, device=self.weights.device) * start

    def _put(self, term: int, values: Tensor) -> None:
        values = values.requires_grad_(False)
        self._of_points[term] = values
        if self._adam is None:
            self._adam = torch.optim.Adam([values], lr=self.lr, maximize=True)
        else:
            self._adam.add_param_group({"params": [values]})

    @property
    def factors(self) -> Tensor:
        return torch.ones_like(self.weights)

    def frozen(self) -> KeptPoints:
        kept = KeptPoints(
            self.lr, self.residual_start, self.condition_start, self.update_every, self.scale
        )
        kept.reset(len(self.weights), like=self.weights)
        kept.load_state_dict(copy.deepcopy(self.state_dict()))
        return kept

    def number(self, term: int) -> int | None:
        """How many weights a term has; ``None`` before it has any."""
        return len(self._of_points[term]) if term in self._of_points else None

    def carry_over(self, term: int, old: Tensor, residual: bool) -> None:
        """Follows the points of a term to a new sample.

        Args:
            term: The term's position.
            old: For each new point its position among the old ones, -1 if it was not there.
            residual: Whether it is a PDE residual.
        """
        assert self._adam is not None
        values = self._of_points[term]
        old = old.to(values.device)
        stays, where = old >= 0, old.clamp(min=0)
        state = self._adam.state[values]
        values.data = torch.where(stays, values.data[where], self._fresh(len(old), residual))
        for key in _MOMENTS:
            if key in state:
                state[key] = torch.where(stays, state[key][where], 0.0)

    def loss(self, term: int, errors: Tensor) -> Tensor:
        """mean((w e)^2) of a term, shape ().

        Args:
            term: The term's position.
            errors: Its errors, shape (N,) or (N, components).
        """
        return (
            (self._of_points[term].unsqueeze(1) * errors.reshape(len(errors), -1)).square().mean()
        )

    @torch.no_grad()
    def ascend(
        self,
        errors: Mapping[int, Tensor],
        factors: Sequence[float],
        members: Sequence[Sequence[int]],
    ) -> None:
        """One step of the weights up the loss; none of a term with an error that is not finite.

        Args:
            errors: Each term's errors.
            factors: Each term's static factor.
            members: The terms of each group.
        """
        assert self._adam is not None
        for i, values in self._of_points.items():
            squares = errors[i].reshape(len(errors[i]), -1).square()
            slope = 2 * factors[i] * values * squares.sum(dim=1) / squares.numel()
            values.grad = torch.where(slope.isfinite().all(), slope, 0.0)
        self._adam.step()
        groups = (torch.cat([self._of_points[i] for i in terms]) for terms in members)
        self.weights = torch.stack([values.square().mean() for values in groups])

    def get_extra_state(self) -> dict[str, Any]:
        adam = None if self._adam is None else self._adam.state_dict()["state"]
        points = {term: values.clone() for term, values in self._of_points.items()}
        return super().get_extra_state() | {"points": points, "adam": adam}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        super().set_extra_state(state)
        self._of_points, self._adam = {}, None
        for term, values in state["points"].items():
            self._put(term, values.clone().to(self.weights))
        if self._adam is not None:
            own = self._adam.state_dict()
            self._adam.load_state_dict(own | {"state": state["adam"]})


class KeptPoints(SA):
    """Weights of points, frozen: what ``"keep"`` makes of :class:`SA`.

    A point that was not there before still gets a fresh weight.
    """

    dynamic = False
    adapted = True
