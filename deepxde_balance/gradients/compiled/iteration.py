"""One iteration of the one-pass engine as a compiled function, and how it is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..._deepxde.batch import Batch, BatchSnapshot
from ..._deepxde.no_trace import no_trace
from ...terms.groups import TermGroups
from ..base import GradientEngine, IterationGradients, Measured, Parameters, StatefulMeasure
from ..one_pass import OnePassEngine
from ..rounding import LAST_DIGIT_CHANGES, at_other_last_digits, moved
from .comparison import Comparison, compare
from .trace import Traced, trace

#: By how much the parameters are moved for a check, relative and absolute. A number that does not
#: follow the parameters then gives a difference far larger than rounding.
_MOVE = 0.05

#: So many last-digit changes are enough as long as nothing differs. All of them are made before a
#: difference is reported: a loss of a few units in its last digit may not react to one change.
_FEW_CHANGES = 2


@dataclass(frozen=True)
class CompiledIteration:
    """An iteration on fixed points as a compiled function of the tensors that it reads.

    Args:
        one_pass: The engine whose iteration was compiled.
        seen: The points.
        slices: Which of the points belong to which condition.
        traced: The traced operations.
        function: The compiled operations.
        first: The evaluation before the trace: what is the same in each evaluation.
        measure: What replaces the loss functions, if anything does.
        shapes: The shapes of the measure's tensors.
        read_later: The terms whose errors the measure reads later in the iteration.
    """

    one_pass: GradientEngine
    seen: BatchSnapshot
    slices: ConditionSlices
    traced: Traced
    function: Callable[..., tuple[Tensor, ...]]
    first: IterationGradients
    measure: StatefulMeasure | None
    shapes: tuple[torch.Size, ...]
    read_later: tuple[int, ...]

    @property
    def parameters(self) -> Parameters:
        """The trainable parameters."""
        return self.first.parameters

    def is_of(self, batch: Batch, parameters: Parameters, measure: StatefulMeasure | None) -> bool:
        """Whether it was traced with these points, trainable parameters and measure."""
        return (
            self.measure is measure
            and self.shapes == shapes_of(measure)
            and self.seen.is_(batch)
            and self.trains(parameters)
        )

    def trains(self, parameters: Parameters) -> bool:
        """Whether it was traced with these trainable parameters."""
        now, then = parameters.all, self.parameters.all
        return len(now) == len(then) and all(p is q for p, q in zip(now, then, strict=True))

    def evaluate(self) -> IterationGradients:
        """Losses and gradients at the parameters as they are now; the measure changes."""
        found, of_measure = self._evaluate()
        if self.measure is not None:
            end = len(of_measure) - len(self.read_later)
            errors = dict(zip(self.read_later, of_measure[end:], strict=True))
            self.measure.take(of_measure[:end], errors)
        return found

    def _evaluate(self) -> tuple[IterationGradients, Sequence[Tensor]]:
        """Losses and gradients, and what the measure would take."""
        of_measure = [] if self.measure is None else self.measure.tensors()
        tensors = [t.detach() for t in (*self.parameters.all, *of_measure, *self.traced.others)]
        with torch.no_grad():
            losses, values, *rest = self.function(*tensors)
        return self.first._replace(losses=losses, values=values), rest

    def compare(self, thorough: bool = False) -> Comparison:
        """Compares its losses and gradients with the one-pass engine's.

        Both are evaluated at moved parameters: there, a number that was computed from a parameter
        when the trace was made gives a difference, and the losses are not as small as training
        makes them, where they are little but rounding. Entries that are not finite there are
        compared at the model's parameters, and all are if the evaluation fails there.

        Args:
            thorough: Whether to look at rounding errors more often.
        """
        changes = LAST_DIGIT_CHANGES if thorough else LAST_DIGIT_CHANGES[:_FEW_CHANGES]
        with no_trace(self.one_pass.model.net), self.slices.put_back():
            try:
                with moved(self.parameters.all, _away):
                    compared = self._compare_here(changes)
            except Exception:  # the residual may not be defined there
                return self._compare_here(changes)
            if compared.finite.all():
                return compared
            return compared.or_else(self._compare_here(changes))

    def difference(self, at_trace: Comparison, groups: TermGroups) -> Difference | None:
        """How it differs from the one-pass engine; ``None`` if it does not, or that can't be told.

        Args:
            at_trace: The comparison right after the trace, when only rounding differed.
            groups: The groups of the terms.
        """
        for thorough in (False, True):
            try:
                compared = self.compare(thorough)
            except Exception:  # the model can't be evaluated, and the next evaluation will raise
                return None
            differing = compared.differs(at_trace)
            if not differing.any():
                return None
        plainly = compared.differs_plainly(at_trace)
        plain = bool(plainly.any())
        names = compared.names(plainly if plain else differing, groups)
        return Difference(", ".join(names), plain)

    def _compare_here(self, changes: Sequence[float]) -> Comparison:
        """Compares at the parameters as they are now."""
        batch, apart = self.seen.batch, self.measure and Apart(self.measure)
        expected = self.one_pass.gradients(batch, apart)
        found, _ = self._evaluate()
        near = at_other_last_digits(
            self.parameters.all, lambda: self.one_pass.gradients(batch, apart), changes
        )
        return compare(found, expected, near)


class Difference(NamedTuple):
    """How a compiled iteration differs from the one-pass engine.

    Args:
        terms: The names of the terms that differ.
        plain: Whether the difference is too large for any rounding.
    """

    terms: str
    plain: bool


def trace_iteration(
    one_pass: OnePassEngine,
    batch: Batch,
    measure: StatefulMeasure | None,
    guard: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> CompiledIteration:
    """Traces an iteration. Its function is not compiled yet: it interprets the operations.

    Args:
        one_pass: The engine.
        batch: The points.
        measure: What replaces the loss functions, if anything does.
        guard: The context in which the operations are recorded.

    Raises:
        Exception: If it can't be traced.
    """
    apart = measure and Apart(measure)
    with no_trace(one_pass.model.net):
        first = one_pass.gradients(batch, apart)
        assert one_pass.seen is not None

        def evaluate() -> tuple[Tensor, ...]:
            computed = one_pass.gradients(batch, apart)
            return computed.losses, computed.values, *(apart.results() if apart else ())

        of_measure = [] if measure is None else measure.tensors()
        with guard():
            traced = trace(evaluate, [*first.parameters.all, *of_measure])
    return CompiledIteration(
        one_pass,
        one_pass.seen,
        ConditionSlices(one_pass.model.data),
        traced,
        traced.graph,
        first,
        measure,
        shapes_of(measure),
        tuple(apart.measured.errors) if apart and apart.measured else (),
    )


class Apart:
    """A measure that leaves the tensors of a stateful one as they are.

    Args:
        measure: The stateful measure.
    """

    def __init__(self, measure: StatefulMeasure):
        self._measure = measure
        #: What the last call gave.
        self.measured: Measured | None = None

    def __call__(self, errors: Mapping[int, Tensor]) -> Mapping[int, Tensor]:
        self.measured = self._measure.measured(errors)
        return self.measured.losses

    def results(self) -> list[Tensor]:
        """What the measure would take, in one list: the changed tensors, then the errors."""
        if self.measured is None:
            return []
        return [*self.measured.changed, *self.measured.errors.values()]


def shapes_of(measure: StatefulMeasure | None) -> tuple[torch.Size, ...]:
    """The shapes of a measure's tensors: point weights that start afresh have none yet."""
    return () if measure is None else tuple(t.shape for t in measure.tensors())


class ConditionSlices:
    """Which points of a batch belong to which condition, and which targets, as they are now.

    DeepXDE notes this in the data and the conditions, not in the batch.

    Args:
        data: The ``dde.data.PDE``.
    """

    def __init__(self, data: Any):
        self._values = [(data, "num_bcs", list(data.num_bcs))] + [
            (bc, "batch_indices", bc.batch_indices)
            for bc in data.bcs
            if hasattr(bc, "batch_indices")
        ]

    @contextmanager
    def put_back(self) -> Iterator[None]:
        """Puts them back while the context lasts: points may have been resampled since."""
        now = [(owner, name, getattr(owner, name)) for owner, name, _ in self._values]
        try:
            for owner, name, value in self._values:
                setattr(owner, name, value)
            yield
        finally:
            for owner, name, value in now:
                setattr(owner, name, value)


def compile_graph(traced: Traced) -> Callable[..., Any]:
    """Compiles the graph by PyTorch's default compiler, which does its work in the first call."""
    return torch.compile(traced.graph, fullgraph=True, dynamic=False)


def _away(p: Tensor) -> Tensor:
    wave = torch.arange(p.numel(), device=p.device, dtype=p.dtype).cos().view_as(p)
    return p + _MOVE * wave * (p.abs() + _MOVE)
