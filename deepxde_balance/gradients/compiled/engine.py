"""The one-pass engine, its iteration compiled to a few fused kernels."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import deepxde as dde
from torch import Tensor

from ..._deepxde.batch import Batch
from ..._deepxde.no_trace import no_trace
from ...terms.groups import TermGroups
from ..base import GradientEngine, IterationGradients, Measure
from ..checked import CheckedEngine
from ..one_pass import OnePassEngine
from .comparison import Comparison
from .iteration import CompiledIteration, Cut, compile_graph
from .trace import trace

#: A check costs about three iterations of the one-pass engine. A prime, so as not to keep step with
#: what changes and changes back.
_EVALUATIONS_BETWEEN_CHECKS = 499

#: What a trace and a compilation cost, in iterations that compiling would have to make up for.
_COST_OF_TRACE = 50
_COST_OF_COMPILATION = 500
#: One compilation and a few traces are free.
_FREE = 700


class StaleError(RuntimeError):
    """The compiled iteration is not the model's any more."""


class CompiledEngine(GradientEngine):
    """The one-pass engine, traced at the first iteration and compiled by ``torch.compile``.

    A residual is hundreds of small operations on all points, forward and backward, each of which
    reads and writes memory; compiled, most of them are fused. All rows' gradients come out of each
    call, so that one compilation serves every iteration.

    A trace holds tensors by reference and all else as it was. It is compared with the one-pass
    engine when it is made, before it is replaced, from time to time and when training ends. New
    points are traced again; where they are new too often, or something can't be traced or
    compiled, the one-pass engine takes over, and says so once.

    Args:
        model: The model.
        groups: The groups of its terms.
        scale: One static factor per term.
    """

    def __init__(self, model: dde.Model, groups: TermGroups, scale: Sequence[float]):
        super().__init__(model, groups, scale)
        self._eager = CheckedEngine(model, groups, scale, must_hold=False)
        self._iteration: CompiledIteration | None = None
        #: How it compared when it was made: with nothing but rounding between.
        self._at_trace: Comparison | None = None
        self._gave_up = False
        self._evaluations = 0
        self._confirmed = 0
        self._traces = 0
        self._cost = 0

    @property
    def name(self) -> str:  # type: ignore[override]
        return self._eager.name if self._gave_up else "compiled"

    @property
    def prefers_gradients(self) -> bool:  # type: ignore[override]
        return not self._gave_up

    def losses(self, batch: Batch, measure: Measure | None = None) -> list[Tensor]:
        return self._eager.losses(batch, measure)

    def gradients(self, batch: Batch, measure: Measure | None = None) -> IterationGradients:
        if measure is not None:
            return self._eager.gradients(batch, measure)
        if not self._gave_up:
            self._follow(batch)
        self._evaluations += 1
        if self._evaluations % _EVALUATIONS_BETWEEN_CHECKS == 0:
            self.confirm()
        if self._iteration is None:
            return self._eager.gradients(batch)
        if not self.model.net.training:
            self.model.net.train()
        return self._iteration.evaluate()

    def begin(self) -> None:
        if self._iteration is None:
            return
        if self._evaluations != self._confirmed:  # training was interrupted
            self.confirm()
        elif self._difference() is not None:
            self._iteration = None  # something was changed for a new phase

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
            'change it in place, or compile without gradient_engine="compiled".'
        )

    def _difference(self) -> tuple[str, bool] | None:
        """By which terms the iteration differs, and whether rounding can't be why."""
        assert self._iteration is not None and self._at_trace is not None
        for thorough in (False, True):
            try:
                compared = self._iteration.compare(thorough)
            except Exception:  # can't be evaluated any more, which the next evaluation will tell
                return None
            differing = compared.differs(self._at_trace)
            if not differing.any():
                return None
        plainly = compared.differs_plainly(self._at_trace)
        plain = bool(plainly.any())
        names = compared.names(plainly if plain else differing, self.groups)
        return ", ".join(names), plain

    def _follow(self, batch: Batch) -> None:
        """Traces and compiles, unless it was done for these points and trainable parameters."""
        if self._iteration is not None and self._iteration.is_of(batch, self.parameters()):
            return
        self.confirm()
        if self._gave_up:
            return
        try:
            self._iteration = self._trace(batch)
        except Exception as error:  # what the one-pass engine can evaluate must train
            self._give_up(_in_short(error))

    def _trace(self, batch: Batch) -> CompiledIteration:
        """Traces an iteration, and compiles it unless it is as before but for the tensors.

        Raises:
            Exception: If that fails, costs too much or the result is of no use.
        """
        self._traces += 1
        self._spend(_COST_OF_TRACE)
        one_pass = self._eager.checked(batch, new_points=True)
        if not isinstance(one_pass, OnePassEngine):
            raise ValueError("it needs the one-pass engine")
        with no_trace(self.model.net):
            first = one_pass.gradients(batch)
            assert one_pass.seen is not None

            def evaluate() -> tuple[Tensor, Tensor]:
                computed = one_pass.gradients(batch)
                return computed.losses, computed.values

            traced = trace(evaluate, first.parameters.all)
        before = self._iteration
        if (
            before is not None
            and before.trains(first.parameters)
            and before.traced.same_operations(traced)
        ):
            function = before.function
        else:
            self._spend(_COST_OF_COMPILATION)
            function = compile_graph(traced)
        iteration = CompiledIteration(
            one_pass,
            one_pass.seen,
            Cut(self.model.data),
            traced,
            function,
            first.parameters,
            first.used,
            first.reached,
        )
        self._at_trace = iteration.compare()
        if self._at_trace.differs().any():
            raise ValueError("its results would not be those of the one-pass engine")
        return iteration

    def _spend(self, cost: int) -> None:
        self._cost += cost
        if self._cost > self._evaluations + _FREE:
            raise ValueError(
                f"points, trainable parameters or what a loss reads were new {self._traces} times "
                f"in {self._evaluations + 1} evaluations"
            )

    def _give_up(self, reason: str) -> None:
        self._gave_up, self._iteration = True, None
        warnings.warn(
            f'gradient_engine="compiled" can\'t be used here ({reason}): from now on, losses '
            "and gradients are computed uncompiled, which gives the same and is slower.",
            stacklevel=2,
        )


def _in_short(error: Exception) -> str:
    """An error's first line, and the compiler's own where there is one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    chosen = lines[:1] + [line for line in lines[1:] if "error:" in line][:1]
    return "; ".join(line.rstrip(".:") for line in chosen) or type(error).__name__
