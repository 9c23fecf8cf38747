"""The point weights of SA, whose update is a step of gradient ascent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ..weightings.kinds import FromPointErrors
from ..weightings.per_point import SA
from .base import PointState, PointWeighting, WeighedTerm


class SelfAdaptive(PointWeighting):
    """The weights per point of :class:`~deepxde_balance.SA`, within any strategy (`"sa"`).

    The weight of a point is w_p = m_p^2, where m_p climbs by gradient ascent on the term's loss
    after each step of the network. Group weights do not enter the ascent.

    Args:
        lr: Learning rate of the ascent's Adam, positive.
        residual_start: Upper bound of the first m_p of residual points, positive.
        condition_start: Upper bound of the first m_p of the conditions' points, positive.
        inherit: See :class:`PointWeighting`.

    Raises:
        ValueError: If an argument is out of its range.
    """

    after_step = True
    drifts = True

    def __init__(
        self,
        lr: float = 0.005,
        residual_start: float = 1.0,
        condition_start: float = 100.0,
        inherit: str | None = None,
    ):
        super().__init__(inherit)
        sa = SA(lr, residual_start, condition_start)
        self.lr, self.residual_start, self.condition_start = (
            sa.lr,
            sa.residual_start,
            sa.condition_start,
        )
        self._sa: FromPointErrors = sa
        #: Whether the training step counts the iterations and the checkpoint has the state.
        self._is_strategy = False
        self._members: Sequence[Sequence[int]] = ()
        self._factors: dict[int, float] = {}

    @classmethod
    def of_strategy(
        cls,
        weighting: FromPointErrors,
        terms: Mapping[int, WeighedTerm],
        members: Sequence[Sequence[int]],
    ) -> SelfAdaptive:
        """The point weights of `loss_weights="sa"`, in whatever state they are.

        Args:
            weighting: The strategy.
            terms: The terms that it weighs.
            members: The terms of each group.
        """
        of_points = cls()
        of_points._sa, of_points._is_strategy = weighting, True
        of_points._members = members
        of_points._terms = dict(terms)
        of_points._factors = {i: term.factor for i, term in terms.items()}
        of_points.dynamic = weighting.dynamic
        return of_points

    def reset(self, terms: Mapping[int, WeighedTerm], like: Tensor) -> None:
        super().reset(terms, like)
        self._members = [[i] for i in terms]
        self._factors = {i: term.factor for i, term in terms.items()}
        self._sa.reset(len(terms), like)

    @property
    def is_strategy(self) -> bool:
        """Whether these are the point weights of `loss_weights="sa"`."""
        return self._is_strategy

    def fresh(self, term: int, points: Tensor) -> PointState:
        raise NotImplementedError("SA draws its own fresh weights")

    def weights_of(self, state: PointState) -> Tensor:
        return state["m"].square()

    def weights(self, term: int) -> Tensor:
        return self.weights_of(self.state(term))

    def number(self, term: int) -> int | None:
        return self._sa.number(term)

    def state(self, term: int) -> PointState:
        return self._sa.point_state(term)

    def set_state(self, term: int, state: PointState) -> None:
        self._sa.set_point_state(term, state)

    def tensors(self) -> list[Tensor]:
        # They change after the step alone, in ways of their own.
        started = [i for i in self._terms if self._sa.number(i) is not None]
        return [value for i in started for value in self._sa.point_state(i).values()]

    def start(self, term: int, points: Tensor) -> None:
        self._sa.start(term, len(points), self._terms[term].residual)

    def carry_over(self, term: int, points: Tensor, old: Tensor) -> None:
        self._sa.carry_over(term, old, self._terms[term].residual)

    def loss(self, term: int, errors: Tensor) -> Tensor:
        return self._sa.loss(term, errors)

    def update(self, errors: Mapping[int, Tensor]) -> None:
        if self._sa.due():
            self._sa.ascend(errors, self._factors, self._members)
        if not self._is_strategy:
            self._sa.iteration += 1

    def state_dict(self) -> dict[str, Any]:
        return {} if self._is_strategy else {"sa": self._sa.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if not self._is_strategy:
            self._sa.load_state_dict(state["sa"])
