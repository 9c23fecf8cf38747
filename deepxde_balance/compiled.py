"""The one-pass engine, its iteration compiled to a few fused kernels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import deepxde as dde
import torch
from torch import Tensor

from .checked import CheckedEngine
from .gradients import Batch, GradientEngine, IterationGradients, Parameters
from .probe import no_trace
from .terms import TermGroups
from .traced import Traced, trace

#: A check costs about two iterations of the one-pass engine.
_ITERATIONS_BETWEEN_CHECKS = 500

#: A trace takes about as long as compilation saves in so many iterations.
_ITERATIONS_PER_TRACE = 50
_TRACES_FOR_FREE = 3

#: Relative; what does not follow the parameters shows by far more than rounding.
_PERTURBATION = 0.05


@dataclass(frozen=True)
class Iteration:
    """An iteration on certain points as a compiled function of the tensors that it reads.

    Args:
        points: The batch's inputs.
        traced: Its operations.
        function: The same, compiled.
        like: What the one-pass engine gave: all but the values holds for every iteration.
    """

    points: Any
    traced: Traced
    function: Callable[..., tuple[Tensor, Tensor]]
    like: IterationGradients

    def is_of(self, batch: Batch, parameters: Parameters) -> bool:
        """Whether it is of these points and trainable parameters."""
        own = self.like.parameters.all
        return (
            batch.inputs is self.points
            and len(parameters.all) == len(own)
            and all(p is q for p, q in zip(parameters.all, own, strict=True))
        )

    def evaluate(self) -> IterationGradients:
        """Losses and gradients at the parameters as they are now."""
        parameters = [p.detach() for p in self.like.parameters.all]
        with torch.no_grad():
            losses, values = self.function(*parameters, *self.traced.others)
        return self.like._replace(losses=losses, values=values)


class CompiledEngine(GradientEngine):
    """The one-pass engine, traced at the first iteration and compiled by ``torch.compile``.

    A residual is hundreds of small operations on all points, forward and backward, each of which
    reads and writes memory; compiled, most of them are fused. All rows' gradients come out of each
    call, so that one compilation serves every iteration.

    A trace holds tensors by reference and all else as it was. It is compared with the one-pass
    engine when it is made, there also at other parameters, and from time to time. New points are
    traced again; where they are new too often, or something can't be traced or compiled, the
    one-pass engine takes over, and says so once.

    Args:
        model: The model.
        groups: The groups of its terms.
        scale: One static factor per term.
    """

    def __init__(self, model: dde.Model, groups: TermGroups, scale: Sequence[float]):
        super().__init__(model, groups, scale)
        self._eager = CheckedEngine(model, groups, scale, must_hold=False)
        self._iteration: Iteration | None = None
        self._gave_up = False
        self._count = 0
        self._traces = 0

    @property
    def name(self) -> str:  # type: ignore[override]
        return self._eager.name if self._gave_up else "compiled"

    @property
    def prefers_gradients(self) -> bool:  # type: ignore[override]
        return not self._gave_up

    def losses(self, batch: Batch) -> list[Tensor]:
        with self._measuring_alike():
            return self._eager.losses(batch)

    def gradients(self, batch: Batch) -> IterationGradients:
        if self._measure is None and not self._gave_up:
            self._follow(batch)
        if self._measure is not None or self._iteration is None:
            with self._measuring_alike():
                return self._eager.gradients(batch)
        self._count += 1
        if self._count % _ITERATIONS_BETWEEN_CHECKS == 0:
            self._check_again(self._iteration, batch)
        return self._iteration.evaluate()

    def _measuring_alike(self) -> AbstractContextManager[None]:
        return nullcontext() if self._measure is None else self._eager.measuring(self._measure)

    def _follow(self, batch: Batch) -> None:
        """Traces and compiles, unless it was done for these points and trainable parameters."""
        if self._iteration is not None and self._iteration.is_of(batch, self.parameters()):
            return
        self._traces += 1
        if self._traces > _TRACES_FOR_FREE and self._count < _ITERATIONS_PER_TRACE * self._traces:
            self._give_up(f"new points {self._traces} times in {self._count + 1} iterations")
            return
        try:
            self._iteration = self._compile(batch)
        except Exception as error:  # what the one-pass engine can evaluate must train
            self._give_up(str(error) or type(error).__name__)

    def _compile(self, batch: Batch) -> Iteration:
        """Traces and compiles an iteration.

        Raises:
            Exception: If that fails, or the result is of no use; which, depends on the reason.
        """
        one_pass = self._eager.checked(batch)
        if one_pass.name != "one-pass":
            raise ValueError("it needs the one-pass engine")
        with no_trace(self.model.net):
            like = one_pass.gradients(batch)

            def evaluate() -> tuple[Tensor, Tensor]:
                computed = one_pass.gradients(batch)
                return computed.losses, computed.values

            traced = trace(evaluate, like.parameters.all)
        before = self._iteration
        if before is not None and before.traced.same_operations(traced):
            function = before.function
        else:
            function = compiled(traced)
        iteration = Iteration(batch.inputs, traced, function, like)
        if self._differs(iteration, batch):
            raise ValueError("its results would not be those of the one-pass engine")
        return iteration

    def _check_again(self, iteration: Iteration, batch: Batch) -> None:
        if self._differs(iteration, batch):
            raise RuntimeError(
                f"After {self._count} iterations, the compiled losses and gradients are not the "
                "model's any more: a residual, a condition or the network depends on something "
                "that has changed and is no tensor, such as a Python number, which the last "
                f"iterations, up to {_ITERATIONS_BETWEEN_CHECKS}, did not follow. Make it a "
                'tensor, or compile without gradient_engine="compiled".'
            )

    def _differs(self, iteration: Iteration, batch: Batch) -> bool:
        """Whether the compiled losses or a row's gradient differ by more than rounding.

        At other parameters than the model's: a number that was made of a parameter shows, and
        losses are not as small as training makes them, where they are little but rounding.
        """
        with no_trace(self.model.net), _elsewhere(iteration.like.parameters):
            expected = self._eager.checked(batch).gradients(batch)
            found = iteration.evaluate()
        tolerance = torch.finfo(expected.values.dtype).eps ** 0.5
        for one, other in (
            (expected.losses.unsqueeze(1), found.losses.unsqueeze(1)),
            (expected.values, found.values),
        ):  # each row by its own size; what is not finite agrees with anything
            size = torch.linalg.vector_norm(one, dim=1)
            apart = torch.linalg.vector_norm(one - other, dim=1) > tolerance * size
            if bool((apart & size.isfinite()).any()):
                return True
        return False

    def _give_up(self, reason: str) -> None:
        self._gave_up, self._iteration = True, None
        first_line = reason.strip().splitlines()[0].rstrip(".")
        warnings.warn(
            f'gradient_engine="compiled" can\'t be used here ({first_line}): from now on, losses '
            "and gradients are computed uncompiled, which gives the same and is slower.",
            stacklevel=2,
        )


def compiled(traced: Traced) -> Callable[..., Any]:
    """The graph, compiled by PyTorch's default compiler."""
    return torch.compile(traced.graph, fullgraph=True, dynamic=False)


@contextmanager
def _elsewhere(parameters: Parameters) -> Iterator[None]:
    """Moves the parameters while the context lasts."""
    before = [p.detach().clone() for p in parameters.all]
    try:
        with torch.no_grad():
            for p in parameters.all:
                wave = torch.arange(p.numel(), device=p.device, dtype=p.dtype).cos().view_as(p)
                p.add_(_PERTURBATION * wave * (p.abs() + _PERTURBATION))
        yield
    finally:
        with torch.no_grad():
            for p, value in zip(parameters.all, before, strict=True):
                p.copy_(value)
