"""The base class of point weightings, which weigh the points of a loss term."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

#: A named tensor per point of a term, shape (N,).
PointState = dict[str, Tensor]


@dataclass(frozen=True)
class WeighedTerm:
    """What a point weighting is told of a loss term.

    Args:
        name: The term's name.
        residual: Whether it is a PDE residual.
        has_time: Whether the last coordinate of its points is time.
        factor: The static factor of its loss.
    """

    name: str
    residual: bool
    has_time: bool = False
    factor: float = 1.0


class PointWeighting(ABC):
    """Base class of point weightings: they weigh the points within a loss term.

    The loss of a term becomes mean(w_p e_p^2) over its points p, with errors e_p and weights w_p.
    Where an error has several components, e_p^2 is their mean square. No gradient runs through
    the weights.

    A point weighting does not know the model, the data or the network. It serves one term or
    several, and learns their errors together. Its state is one number per point and name, which
    follows the points: kept points keep it, new ones start fresh.

    To write one of your own, implement `fresh`, `weights_of` and `update`. Hyperparameters are
    attributes that do not begin with an underscore.

    Args:
        inherit: ``"nearest"`` gives new points the state of the nearest old one; ``None`` gives
            them fresh state.

    Raises:
        ValueError: If `inherit` is neither.

    Example:
        >>> import torch
        >>> import deepxde_balance as ddb
        >>> class Largest(ddb.PointWeighting):
        ...     def fresh(self, term, points):
        ...         return {"w": torch.ones_like(points[:, 0])}
        ...     def weights_of(self, state):
        ...         return state["w"]
        ...     def update(self, errors):
        ...         for term, e in errors.items():
        ...             e = self.magnitude(e)
        ...             self.set_state(term, {"w": e / e.max()})
        >>> model = ddb.problems.get("harmonic").model("equal", verbose=0)
        >>> model.compile("adam", lr=1e-3, point_weights={"pde": Largest()}, verbose=0)
    """

    #: Whether it weighs residuals only, where no terms are named.
    residuals_only: ClassVar[bool] = False

    #: Whether the mean weight of a term may change by orders of magnitude in training.
    drifts: ClassVar[bool] = False

    #: Whether `update` is called after the step of the network, and not before the loss.
    after_step: ClassVar[bool] = False

    #: Whether `update` is called at all.
    dynamic: bool = True

    def __init__(self, inherit: str | None = None):
        if inherit not in (None, "nearest"):
            raise ValueError(f"inherit={inherit!r} is not allowed: give 'nearest' or None.")
        self.inherit = inherit
        self._terms: dict[int, WeighedTerm] = {}
        self._state: dict[int, PointState] = {}

    def reset(self, terms: Mapping[int, WeighedTerm], like: Tensor) -> None:
        """Forgets all state. It is called before training.

        Args:
            terms: The terms whose points it weighs, by position.
            like: A tensor with the device and the float type of weights.

        Raises:
            ValueError: If it can't weigh these terms.
        """
        self._terms, self._state = dict(terms), {}

    def check(self, term: int, points: Tensor) -> None:  # noqa: B027 - nothing to check is the rule
        """Called at compile with the points that a term has then.

        Raises:
            ValueError: If it can't weigh them.
        """

    @abstractmethod
    def fresh(self, term: int, points: Tensor) -> PointState:
        """The state of points that have none yet.

        Args:
            term: The term's position.
            points: Its points, shape (N, d), in the float type of the weights.
        """

    @abstractmethod
    def weights_of(self, state: PointState) -> Tensor:
        """The weights that follow from a state, shape (N,)."""

    @abstractmethod
    def update(self, errors: Mapping[int, Tensor]) -> None:
        """Changes the state by the errors of an iteration.

        It is called once in an iteration, before the loss, and under ``torch.no_grad()``. It must
        not wait for the device, as ``.item()`` does.

        Args:
            errors: The detached errors of each term, by position, shape (N,) or (N, components).
        """

    @property
    def small_until_second_update(self) -> float | None:
        """A small bound of all weights until the second update; ``None`` if there is none."""
        return None

    def weights(self, term: int) -> Tensor:
        """The present weights of a term's points, shape (N,)."""
        return self.weights_of(self._state[term])

    def number(self, term: int) -> int | None:
        """The number of a term's weights; ``None`` before it has any."""
        if term not in self._state:
            return None
        return len(next(iter(self._state[term].values())))

    def state(self, term: int) -> PointState:
        """The state of a term's points."""
        return self._state[term]

    def set_state(self, term: int, state: PointState) -> None:
        """Replaces the state of a term's points."""
        self._state[term] = state

    def tensors(self) -> list[Tensor]:
        """All tensors that `update` changes, in an order that stays: the state of all terms.

        A subclass that changes more overrides this method, `set_tensors`, `state_dict` and
        `load_state_dict`.
        """
        return [state[name] for state in self._state.values() for name in sorted(state)]

    def set_tensors(self, tensors: Sequence[Tensor]) -> None:
        """Puts tensors in the place of those that :meth:`tensors` returns."""
        of_all = iter(tensors)
        for term, state in self._state.items():
            self._state[term] = {name: next(of_all) for name in sorted(state)}

    def start(self, term: int, points: Tensor) -> None:
        """Gives the points of a term their first state."""
        self._state[term] = self.fresh(term, points)

    def carry_over(self, term: int, points: Tensor, old: Tensor) -> None:
        """Gives the new points of a term their state: that of an old point, or fresh state.

        Args:
            term: The term's position.
            points: The new points, shape (N, d).
            old: For each new point the position of the old one whose state it gets, -1 for fresh
                state, shape (N,).
        """
        keeps, position, before = old >= 0, old.clamp(min=0), self._state[term]
        self._state[term] = {
            name: torch.where(keeps, before[name][position], value)
            for name, value in self.fresh(term, points).items()
        }

    def loss(self, term: int, errors: Tensor) -> Tensor:
        """The loss mean(w_p e_p^2) of a term, shape ().

        Args:
            term: The term's position.
            errors: Its errors, shape (N,) or (N, components).
        """
        weights = self.weights(term).unsqueeze(1)
        squares = errors.reshape(len(errors), -1).to(weights.dtype).square()
        return (weights * squares).mean()

    @staticmethod
    def magnitude(errors: Tensor) -> Tensor:
        """The size of each point's error, shape (N,): the root mean square of its components."""
        columns = errors.reshape(len(errors), -1)
        if columns.shape[1] == 1:
            return columns.squeeze(1).abs()
        return columns.square().mean(dim=1).sqrt()

    @property
    def rule(self) -> str:
        """A name that tells this rule from others; it does not depend on hyperparameters."""
        return type(self).__name__

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The settings by name."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in vars(self).items()
            if not name.startswith("_")
            and (value is None or isinstance(value, (bool, int, float, str, tuple)))
        }

    def frozen(self) -> Frozen:
        """A point weighting with the present weights, which never change."""
        frozen = Frozen(self.rule)
        frozen._terms = dict(self._terms)
        frozen._state = {i: {"w": self.weights(i).clone()} for i in self._terms if self.number(i)}
        return frozen

    def state_dict(self) -> dict[str, Any]:
        """The state, for a checkpoint."""
        return {
            "points": {
                i: {name: value.clone() for name, value in state.items()}
                for i, state in self._state.items()
            }
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned."""
        self._state = {
            i: {name: value.clone() for name, value in of_term.items()}
            for i, of_term in state["points"].items()
        }


class Frozen(PointWeighting):
    """The frozen weights of another point weighting, for ``"keep"``.

    A new point gets the weight of the nearest old one.

    Args:
        kept: The name of the rule that they come from.
    """

    dynamic = False

    def __init__(self, kept: str):
        super().__init__(inherit="nearest")
        self.kept = kept

    def fresh(self, term: int, points: Tensor) -> PointState:
        return {"w": torch.ones_like(points[:, 0])}

    def weights_of(self, state: PointState) -> Tensor:
        return state["w"]

    def update(self, errors: Mapping[int, Tensor]) -> None:
        """Does nothing."""
