"""Chooses how gradients are computed, and checks the choice against DeepXDE's own losses."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import deepxde as dde
import torch
from torch import Tensor

from .gradients import (
    Batch,
    GradientEngine,
    IterationGradients,
    PerGroupEngine,
    deepxde_losses,
    grad,
)
from .one_pass import OnePassEngine, reason_against
from .probe import no_trace
from .terms import TermGroups
from .weightings._checks import unknown_name

EngineName = Literal["one-pass", "per-group"]

#: A check costs about three steps: where points change often, not every change is checked.
_EVALUATIONS_BETWEEN_CHECKS = 100


def check_engine_name(name: str | None) -> None:
    """Raises a ValueError unless `name` is that of an engine, or ``None``."""
    if name is not None and name not in ("one-pass", "per-group"):
        raise unknown_name("gradient_engine", str(name), ["one-pass", "per-group"])


def choose_engine(
    model: dde.Model,
    groups: TermGroups,
    scale: Sequence[float],
    forced: EngineName | None = None,
) -> GradientEngine:
    """The one-pass engine wherever it gives DeepXDE's losses, else one backward per group.

    Args:
        model: The model; it need not be compiled yet.
        groups: The groups of its terms.
        scale: One static factor per term.
        forced: The engine to use whatever the data and network are.

    Raises:
        ValueError: If the one-pass engine is asked for where it can't hold.
    """
    if forced == "per-group":
        return PerGroupEngine(model, groups, scale)
    reason = reason_against(model.data, model.net)
    if reason is None:
        return CheckedEngine(model, groups, scale, must_hold=forced == "one-pass")
    if forced == "one-pass":
        raise ValueError(f"gradient_engine='one-pass' can't be used here: {reason}.")
    return PerGroupEngine(model, groups, scale)


class CheckedEngine(GradientEngine):
    """The one-pass engine, compared with DeepXDE at the first iteration and when points change.

    Where its losses or their gradient differ from DeepXDE's on the same points by more than
    rounding, it hands over to :class:`PerGroupEngine`, and says so once.

    Args:
        model: The model.
        groups: The groups of its terms.
        scale: One static factor per term.
        must_hold: Whether a difference is an error.
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
    def name(self) -> str:  # type: ignore[override]
        return "one-pass" if self._engine is None else self._engine.name

    def losses(self, batch: Batch) -> list[Tensor]:
        return self._checked(batch).losses(batch)

    def gradients(self, batch: Batch) -> IterationGradients:
        return self._checked(batch).gradients(batch)

    def _checked(self, batch: Batch) -> GradientEngine:
        self._evaluations += 1
        if self._engine is None or (
            batch.inputs is not self._checked_points
            and self._evaluations > _EVALUATIONS_BETWEEN_CHECKS
            and self._engine.name == "one-pass"
        ):
            self._check(batch)
        assert self._engine is not None
        return self._engine

    def _check(self, batch: Batch) -> None:
        self._checked_points, self._evaluations = batch.inputs, 0
        with no_trace(self.model.net), torch.enable_grad():
            expected = deepxde_losses(self.model, batch)
            if self._engine is None:
                self._engine = OnePassEngine(self.model, self.groups, self.scale, expected.loss_fn)
            difference = self._difference(batch, expected.losses)
        if difference is None:
            return
        message = (
            f"The one-pass engine does not give DeepXDE's {difference} on the same points (a "
            "residual or network that mixes points, or is random, does that)"
        )
        if self._must_hold:
            raise RuntimeError(f"{message}: leave gradient_engine='one-pass' out.")
        warnings.warn(
            f"{message}: from now on, each group takes a backward of its own, which is slower.",
            stacklevel=2,
        )
        self._engine = PerGroupEngine(self.model, self.groups, self.scale)

    def _difference(self, batch: Batch, expected: list[Tensor]) -> str | None:
        """What differs, in words; ``None`` if nothing does."""
        assert self._engine is not None
        expected_losses = torch.stack(expected).detach()
        found = self._engine.gradients(batch)
        for losses in (found.losses, torch.stack(self._engine.losses(batch)).detach()):
            wrong = ~_close(losses, expected_losses, factor=1)
            if wrong.any():
                names = [
                    t.name for t, w in zip(self.groups.terms, wrong.tolist(), strict=True) if w
                ]
                return f"loss of {', '.join(names)}"
        parameters = self.parameters().all
        gradients = grad(self.row_losses(expected), parameters, keep_graph=False)
        expected_gradient = torch.cat(
            [
                (torch.zeros_like(p) if g is None else g).reshape(-1)
                for g, p in zip(gradients, parameters, strict=True)
            ]
        )
        gradient = found.values.sum(dim=0)
        norm = expected_gradient.norm()
        if not _close((gradient - expected_gradient).norm() + norm, norm, factor=10):
            return "gradient"
        return None


def _close(found: Tensor, expected: Tensor, factor: float) -> Tensor:
    """Whether values agree but for rounding, each by itself; nan and infinity agree with anything.

    Sums over thousands of points in another order, and derivatives from matrices of another
    shape, differ by some thousand units in the last place; a wrong engine by far more than the
    root of one.
    """
    epsilon = torch.finfo(torch.float16 if dde.config.mixed else found.dtype).eps
    close = (found - expected).abs() <= factor * (epsilon**0.5 * expected.abs() + 10 * epsilon)
    return close | ~expected.isfinite()
