"""The one-pass engine, with checks of its losses against DeepXDE's."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import deepxde as dde
import torch
from torch import Tensor

from .._deepxde.batch import Batch
from .._deepxde.no_trace import no_trace
from .._deepxde.stock_losses import deepxde_losses
from ..terms.groups import TermGroups
from .base import GradientEngine, IterationGradients, Measure
from .one_pass import OnePassEngine
from .per_group import PerGroupEngine

#: A check costs about two iterations. Where points change more often than this, not every change is
#: checked.
_EVALUATIONS_BETWEEN_CHECKS = 100


class CheckedEngine(GradientEngine):
    """Uses the one-pass engine for as long as it gives DeepXDE's losses.

    The losses are compared with DeepXDE's at the first iteration and when points change. If they
    differ by more than rounding, or depend on the network's parameters themselves and not on the
    copies, :class:`PerGroupEngine` takes over, with a warning.

    Args:
        model: A compiled ``dde.Model``.
        groups: The groups of its terms.
        scale: One static factor per term.
        must_hold: Whether a difference is a RuntimeError instead.
    """

    def __init__(
        self, model: dde.Model, groups: TermGroups, scale: Sequence[float], must_hold: bool
    ):
        super().__init__(model, groups, scale)
        self._must_hold = must_hold
        self._engine: GradientEngine | None = None
        self._checked_points: Any = None
        self._evaluations = 0

    @property
    def name(self) -> str:
        return "one-pass" if self._engine is None else self._engine.name

    def losses(self, batch: Batch, measure: Measure | None = None) -> list[Tensor]:
        return self.checked(batch).losses(batch, measure)

    def gradients(self, batch: Batch, measure: Measure | None = None) -> IterationGradients:
        return self.checked(batch).gradients(batch, measure)

    def checked(self, batch: Batch, new_points: bool = False) -> GradientEngine:
        """Returns the engine to use, after a check if one is due.

        Args:
            batch: The points.
            new_points: Whether to check changed points even if the last check was only a few
                evaluations ago.

        Raises:
            RuntimeError: If the check finds a difference and `must_hold` is set.
        """
        self._evaluations += 1
        due = new_points or self._evaluations > _EVALUATIONS_BETWEEN_CHECKS
        if self._engine is None or (
            due and batch.inputs is not self._checked_points and self._engine.name == "one-pass"
        ):
            self._check(batch)
        assert self._engine is not None
        return self._engine

    def _check(self, batch: Batch) -> None:
        """Chooses the engine by a comparison with DeepXDE's losses."""
        self._checked_points, self._evaluations = batch.inputs, 0
        with no_trace(self.model.net), torch.enable_grad():
            expected, loss_fn = deepxde_losses(self.model, batch)
            expected = [loss.detach() for loss in expected]  # frees DeepXDE's graph
            engine = self._engine
            if not isinstance(engine, OnePassEngine):
                engine = OnePassEngine(self.model, self.groups, self.scale, loss_fn)
            difference = self._difference(engine, batch, torch.stack(expected))
            if difference is not None and engine.stacks:
                engine.stacks = False  # perhaps only the stack is at fault
                difference = self._difference(engine, batch, torch.stack(expected))
        if difference is None:
            self._engine = engine
            return
        message = (
            f"The one-pass engine {difference}. A residual or network that looks at several "
            "points at once, draws random numbers or uses parameters past the network does that"
        )
        if self._must_hold:
            raise RuntimeError(f"{message}: leave gradient_engine='one-pass' out.")
        warnings.warn(
            f"{message}: from now on, each group takes a backward of its own, which is slower.",
            stacklevel=2,
        )
        self._engine = PerGroupEngine(self.model, self.groups, self.scale)

    def _difference(self, engine: OnePassEngine, batch: Batch, expected: Tensor) -> str | None:
        """Describes how the engine differs from DeepXDE; ``None`` if it does not."""
        try:
            through_copies, bypassed = engine.losses_of_copies(batch)
            without_copies = engine.losses(batch)
        except Exception as error:  # a model that DeepXDE can evaluate must train, if slowly
            return f"fails where DeepXDE's losses do not ({error})"
        for losses in (through_copies, without_copies):
            wrong = ~equal_but_for_rounding(torch.stack(losses).detach(), expected)
            if wrong.any():
                names = [
                    t.name for t, w in zip(self.groups.terms, wrong.tolist(), strict=True) if w
                ]
                return f"does not give DeepXDE's loss of {', '.join(names)} on the same points"
        if bypassed:
            return f"would lose gradients of {', '.join(bypassed)}"
        return None


def equal_but_for_rounding(found: Tensor, expected: Tensor) -> Tensor:
    """Whether each value equals the expected one up to rounding.

    Nothing is compared where the expected value is nan or infinite. Sums over thousands of points
    in another order, and derivatives from matrices of another shape, make relative differences of
    some thousand eps, the machine precision. The limit, sqrt(eps), is larger, and far below the
    differences that a wrong engine makes.
    """
    epsilon = torch.finfo(torch.float16 if dde.config.mixed else found.dtype).eps
    close: Tensor = (found - expected).abs() <= epsilon**0.5 * expected.abs() + 10 * epsilon
    return close | ~expected.isfinite()
