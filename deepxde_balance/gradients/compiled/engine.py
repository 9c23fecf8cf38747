"""The one-pass engine, its iteration compiled to a few fused kernels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import deepxde as dde
from torch import Tensor

from ..._deepxde.batch import Batch
from ...terms.groups import TermGroups
from ..base import GradientEngine, IterationGradients, Measure, StatefulMeasure
from ..checked import CheckedEngine
from ..one_pass import OnePassEngine
from .comparison import Comparison
from .iteration import CompiledIteration, Difference, compile_graph, trace_iteration
from .limits import TraceLimits
from .trace import Traced

#: A check costs about three uncompiled iterations, so checks are rare. A prime, so that a value
#: that changes and changes back periodically does not look the same at each check.
_EVALUATIONS_BETWEEN_CHECKS = 499


class StaleError(RuntimeError):
    """The compiled iteration no longer gives the model's losses and gradients."""


class CompiledEngine(GradientEngine):
    """The one-pass engine, traced and compiled by ``torch.compile``.

    A residual is hundreds of small operations on all points, forward and backward, each of which
    reads and writes memory; compiled, most of them are fused. Every call computes the gradients of
    all rows, so that one compilation serves every iteration.

    A trace reads tensors anew in each call; everything else stays as it was when it was traced.
    Therefore the compiled results are compared with the one-pass engine's: when the trace is made,
    before it is replaced, every few hundred evaluations and when training ends. New points are
    traced again. Where points are new too often (see :class:`TraceLimits`), or something can't be
    traced or compiled, the one-pass engine takes over, and a warning says so once.

    Args:
        model: The model.
        groups: The groups of its terms.
        scale: One static factor per term.
    """

    #: The engine's name in `compile`.
    asked = "compiled"

    def __init__(self, model: dde.Model, groups: TermGroups, scale: Sequence[float]):
        super().__init__(model, groups, scale)
        self._uncompiled = CheckedEngine(model, groups, scale, must_hold=False)
        self._limits = TraceLimits()
        self._iteration: CompiledIteration | None = None
        #: The comparison that was made right after the trace, when only rounding differed.
        self._at_trace: Comparison | None = None
        self._begun = False
        self._gave_up = False
        self._evaluations = 0
        self._confirmed = 0

    @property
    def name(self) -> str:
        return self._uncompiled.name if self._gave_up else self.asked

    @property
    def prefers_gradients(self) -> bool:
        return not self._gave_up

    def losses(self, batch: Batch, measure: Measure | None = None) -> list[Tensor]:
        return self._uncompiled.losses(batch, measure)

    def gradients(self, batch: Batch, measure: Measure | None = None) -> IterationGradients:
        if measure is not None and not isinstance(measure, StatefulMeasure):
            return self._uncompiled.gradients(batch, measure)
        if not self._begun:  # made by the first iteration of a training
            self.begin()
        if not self._gave_up:
            self._follow(batch, measure)
        self._evaluations += 1
        if self._evaluations % _EVALUATIONS_BETWEEN_CHECKS == 0:
            self.confirm()
        if self._iteration is None:
            return self._uncompiled.gradients(batch, measure)
        if not self.model.net.training:
            self.model.net.train()
        return self._iteration.evaluate()

    def begin(self, last_step: int | None = None) -> None:
        self._begun = True
        self._uncompiled.begin(last_step)
        if self._iteration is not None:
            if self._evaluations != self._confirmed:  # the training before was interrupted
                self.confirm()
            elif self._difference() is not None:
                self._iteration = None  # something was changed between the two trainings
        if self._gave_up:
            return
        try:
            self._limits.begin(self.model)
        except ValueError as error:
            self._give_up(_in_short(error))

    def confirm(self) -> None:
        if self._iteration is None or self._evaluations == self._confirmed:
            return
        difference = self._difference()
        self._confirmed = self._evaluations
        if difference is None:
            return
        terms, plain = difference
        if not plain:
            self._give_up(
                f"after {self._evaluations} evaluations, {terms} differs by more than rounding "
                "should make; if it depends on something that has changed, such as a Python "
                "number, the last iterations may not have followed"
            )
            return
        self._iteration = None
        raise StaleError(
            f"After {self._evaluations} evaluations, the compiled losses and gradients are not the "
            f"model's any more, by {terms}: a residual, a condition or the network depends on "
            "something that has changed, such as a Python number, or a tensor in the place of "
            "another, which the last iterations may not have followed. Make it a tensor and "
            f'change it in place, or compile without gradient_engine="{self.asked}".'
        )

    def _difference(self) -> Difference | None:
        """Compares the compiled iteration with the one-pass engine; ``None`` if they agree."""
        assert self._iteration is not None and self._at_trace is not None
        return self._iteration.difference(self._at_trace, self.groups)

    def _follow(self, batch: Batch, measure: StatefulMeasure | None) -> None:
        """Makes a compiled iteration of these points and trainable parameters, if there is none."""
        if self._iteration is not None and self._iteration.is_of(batch, self.parameters(), measure):
            return
        self.confirm()
        if self._gave_up:
            return
        try:
            self._iteration = self._next_iteration(batch, measure)
        except Exception as error:  # what the one-pass engine can evaluate must train
            self._give_up(_in_short(error))

    def _next_iteration(
        self, batch: Batch, measure: StatefulMeasure | None
    ) -> CompiledIteration | None:
        """The compiled iteration; ``None`` where this evaluation is to be uncompiled.

        Raises:
            Exception: If it can't be traced or compiled, would be so too often, or gives other
                results than the one-pass engine.
        """
        allowed = self._limits.allow_trace(batch, self._evaluations, self._iteration is None)
        one_pass = self._uncompiled.checked(batch, new_points=True)
        if not isinstance(one_pass, OnePassEngine):
            raise ValueError("it needs the one-pass engine")
        return self._trace(one_pass, batch, measure) if allowed else None

    def _trace(
        self, one_pass: OnePassEngine, batch: Batch, measure: StatefulMeasure | None
    ) -> CompiledIteration:
        """Traces an iteration, and compiles it if its operations differ from those before."""
        iteration, before = trace_iteration(one_pass, batch, measure), self._iteration
        if (
            before is not None
            and before.trains(iteration.parameters)
            and before.traced.same_operations(iteration.traced)
        ):
            function = before.function
        else:
            self._limits.count_compilation()
            function = self._compile(iteration.traced)
        iteration = replace(iteration, function=function)
        self._at_trace = iteration.compare()
        if self._at_trace.differs().any():
            raise ValueError("its results would not be those of the one-pass engine")
        return iteration

    def _compile(self, traced: Traced) -> Callable[..., Any]:
        """The traced operations as a compiled function."""
        return compile_graph(traced)

    def _give_up(self, reason: str) -> None:
        self._gave_up, self._iteration = True, None
        warnings.warn(
            f'gradient_engine="{self.asked}" can\'t be used here ({reason}): from now on, losses '
            "and gradients are computed uncompiled, which gives the same and is slower.",
            stacklevel=2,
        )


def _in_short(error: Exception) -> str:
    """The first line of an error's message, and the compiler's own error line if there is one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    chosen = lines[:1] + [line for line in lines[1:] if "error:" in line][:1]
    return "; ".join(line.rstrip(".:") for line in chosen) or type(error).__name__
