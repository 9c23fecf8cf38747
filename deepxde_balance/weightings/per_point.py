"""SA: one weight per point, learned by gradient ascent while the network descends."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .. import _checks
from .base import Scale
from .kinds import FromPointErrors

#: The state of Adam that has one entry per point.
_MOMENTS = ("exp_avg", "exp_avg_sq")


class SA(FromPointErrors):
    """Self-adaptive weights: one weight per point, which grows where the error is large (`"sa"`).

    The loss of a term is mean((w_p e_p)^2) over its points p, with errors e_p and weights w_p.
    The network minimises this loss, and the weights maximise it with an Adam of their own
    (McClenny & Braga-Neto 2023, eqs. 7 to 9, with the mask w^2). The weights start at random,
    uniform in [0, residual_start] or [0, condition_start].

    A point has the same weight for as long as it is among the training points. Where points are
    resampled, new points get new random weights. `weights` shows the mean of w^2 of each group.

    Args:
        lr: Learning rate of the weights' Adam, positive.
        residual_start: Upper bound of the initial weights of residual points, positive.
        condition_start: Upper bound of the initial weights of the conditions' points, positive.
        update_every: Iterations from one step of the weights to the next.
        scale: Static factors on the losses, see :class:`Weighting`.

    Raises:
        ValueError: If an argument is not positive and finite.

    Example:
        >>> import deepxde_balance as ddb
        >>> model = ddb.problems.get("harmonic").model("equal", verbose=0)
        >>> weighting = ddb.SA(condition_start=10.0)
        >>> model.compile("adam", lr=1e-3, loss_weights=weighting, verbose=0)
    """

    needs_reference = False

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
        self._of_points: dict[int, Tensor] = {}
        self._adam: torch.optim.Adam | None = None

    def reset(self, num_groups: int, like: Tensor) -> None:
        super().reset(num_groups, like)
        self._of_points, self._adam = {}, None

    def start(self, term: int, number: int, residual: bool) -> None:
        """Draws the first weights of a term's points.

        Args:
            term: The term's position.
            number: The number of the term's points N (of errors, where two points share one).
            residual: Whether the term is a PDE residual.
        """
        self._put(term, self._random(number, residual))

    def _random(self, number: int, residual: bool) -> Tensor:
        """New weights, shape (number,)."""
        bound = self.residual_start if residual else self.condition_start
        return torch.rand(number, dtype=self.weights.dtype, device=self.weights.device) * bound

    def _put(self, term: int, values: Tensor) -> None:
        """Sets the weights of a term that has none yet, and hands them to Adam."""
        values = values.requires_grad_(False)
        self._of_points[term] = values
        if self._adam is None:
            self._adam = torch.optim.Adam([values], lr=self.lr, maximize=True)
        else:
            self._adam.add_param_group({"params": [values]})

    def frozen(self) -> KeptPoints:
        frozen = KeptPoints(
            self.lr, self.residual_start, self.condition_start, self.update_every, self.scale
        )
        frozen.reset(len(self.weights), like=self.weights)
        frozen.load_state_dict(copy.deepcopy(self.state_dict()))
        return frozen

    def number(self, term: int) -> int | None:
        """The number of a term's weights; ``None`` before it has any."""
        return len(self._of_points[term]) if term in self._of_points else None

    def carry_over(self, term: int, old: Tensor, residual: bool) -> None:
        """Gives the new points of a term their weights: the old weight, or a random one.

        Args:
            term: The term's position.
            old: For each new point its position among the old points, -1 if it was not one of
                them, shape (N,).
            residual: Whether the term is a PDE residual.
        """
        assert self._adam is not None
        values = self._of_points[term]
        old = old.to(values.device)
        was_there, position = old >= 0, old.clamp(min=0)
        state = self._adam.state[values]
        new_values = self._random(len(old), residual)
        values.data = torch.where(was_there, values.data[position], new_values)
        for key in _MOMENTS:
            if key in state:
                state[key] = torch.where(was_there, state[key][position], 0.0)

    def point_state(self, term: int) -> dict[str, Tensor]:
        """A term's weights `m`, and the moments of their Adam."""
        assert self._adam is not None
        values = self._of_points[term]
        moments = self._adam.state[values]
        return {"m": values.data} | {
            key: moments.get(key, torch.zeros_like(values)) for key in _MOMENTS
        }

    def set_point_state(self, term: int, state: dict[str, Tensor]) -> None:
        """Replaces a term's weights, and the moments of their Adam."""
        assert self._adam is not None
        values = self._of_points[term]
        values.data = state["m"]
        moments = self._adam.state[values]
        for key in _MOMENTS:
            if key in moments:
                moments[key] = state[key]

    def loss(self, term: int, errors: Tensor) -> Tensor:
        """The loss mean((w_p e_p)^2) of a term, shape ().

        Args:
            term: The term's position.
            errors: The term's errors, shape (N,) or (N, components).
        """
        weighted = self._of_points[term].unsqueeze(1) * errors.reshape(len(errors), -1)
        return weighted.square().mean()

    @torch.no_grad()
    def ascend(
        self,
        errors: Mapping[int, Tensor],
        factors: Mapping[int, float],
        members: Sequence[Sequence[int]],
    ) -> None:
        """Changes the weights by one step of gradient ascent on the losses.

        A term with an error that is not finite has gradient 0 in this step.

        Args:
            errors: The errors of each term, shape (N,) or (N, components), by position.
            factors: The static factor of each term, by position.
            members: The positions of each group's terms.
        """
        assert self._adam is not None
        for i, values in self._of_points.items():
            squares = errors[i].to(values.dtype).reshape(len(errors[i]), -1).square()
            gradient = 2 * factors[i] * values * squares.sum(dim=1) / squares.numel()
            values.grad = torch.where(gradient.isfinite().all(), gradient, 0.0)
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
    """The frozen weights of :class:`SA`, for ``"keep"``.

    A point that was not there before still gets a new random weight.
    """

    dynamic = False
    adapted = True
