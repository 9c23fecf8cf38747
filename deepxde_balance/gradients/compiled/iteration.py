"""One iteration of the one-pass engine as a compiled function, and whether it still is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..._deepxde.batch import Batch, BatchSnapshot
from ..._deepxde.no_trace import no_trace
from ..base import GradientEngine, IterationGradients, Parameters
from .comparison import Comparison, compare
from .trace import Traced

#: Relative; what does not follow the parameters shows by far more than rounding.
_PERTURBATION = 0.05

#: Of the root of the float type's epsilon, relative: what such changes make is like rounding, and
#: in float32 enough of a change to round most sums anew. Where a loss is a few units of a last
#: place, one change may make nothing: before something is called wrong, there are more.
_LAST_PLACES = (0.02, -0.013)
_MORE_LAST_PLACES = (*_LAST_PLACES, 0.017, -0.019, 0.011, -0.007, 0.005, -0.011, 0.013, -0.017)


@dataclass(frozen=True)
class CompiledIteration:
    """An iteration on certain points as a compiled function of the tensors that it reads.

    Args:
        one_pass: The engine whose iteration it is.
        seen: The points.
        cut: What else decides which points are a condition's.
        traced: Its operations.
        function: The same, compiled.
        parameters: The trainable parameters.
        used: See :class:`~deepxde_balance.gradients.IterationGradients`; the same each time.
        reached: Likewise.
    """

    one_pass: GradientEngine
    seen: BatchSnapshot
    cut: Cut
    traced: Traced
    function: Callable[..., tuple[Tensor, Tensor]]
    parameters: Parameters
    used: Tensor | None
    reached: tuple[bool, ...]

    def is_of(self, batch: Batch, parameters: Parameters) -> bool:
        """Whether it is of these points and trainable parameters."""
        return self.seen.is_(batch) and self.trains(parameters)

    def trains(self, parameters: Parameters) -> bool:
        """Whether it is of these trainable parameters."""
        now, then = parameters.all, self.parameters.all
        return len(now) == len(then) and all(p is q for p, q in zip(now, then, strict=True))

    def evaluate(self) -> IterationGradients:
        """Losses and gradients at the parameters as they are now."""
        tensors = [t.detach() for t in (*self.parameters.all, *self.traced.others)]
        with torch.no_grad():
            losses, values = self.function(*tensors)
        return IterationGradients(losses, values, self.used, self.parameters, self.reached)

    def compare(self, thorough: bool = False) -> Comparison:
        """Its losses and gradients beside the one-pass engine's.

        Compared at other parameters than the model's: a number that was made of a parameter
        shows, and losses are not as small as training makes them, where they are little but
        rounding. What is not finite there, or can't be evaluated, is compared at the model's.

        Args:
            thorough: Whether to look more often for what rounding makes.
        """
        shares = _MORE_LAST_PLACES if thorough else _LAST_PLACES
        with no_trace(self.one_pass.model.net), self.cut.as_it_was():
            try:
                with _moved(self.parameters.all, _elsewhere):
                    compared = self._compare_here(shares)
            except Exception:  # not defined there
                return self._compare_here(shares)
            if compared.finite.all():
                return compared
            return compared.or_else(self._compare_here(shares))

    def _compare_here(self, shares: Sequence[float]) -> Comparison:
        batch = self.seen.batch
        expected = self.one_pass.gradients(batch)
        found = self.evaluate()
        rounded = []
        for share in shares:
            with _moved(self.parameters.all, partial(_by_last_places, share)):
                rounded.append(self.one_pass.gradients(batch))
        return compare(found, expected, rounded)


class Cut:
    """What tells, beside a batch, which of its points are a condition's, and its targets.

    Args:
        data: The ``dde.data.PDE``, as it is when the batch is evaluated.
    """

    def __init__(self, data: Any):
        self._values = [(data, "num_bcs", list(data.num_bcs))] + [
            (bc, "batch_indices", bc.batch_indices)
            for bc in data.bcs
            if hasattr(bc, "batch_indices")
        ]

    @contextmanager
    def as_it_was(self) -> Iterator[None]:
        """Puts it back while the context lasts: points may have been resampled since."""
        now = [(owner, name, getattr(owner, name)) for owner, name, _ in self._values]
        try:
            for owner, name, value in self._values:
                setattr(owner, name, value)
            yield
        finally:
            for owner, name, value in now:
                setattr(owner, name, value)


def compile_graph(traced: Traced) -> Callable[..., Any]:
    """The graph, compiled by PyTorch's default compiler."""
    return torch.compile(traced.graph, fullgraph=True, dynamic=False)


@contextmanager
def _moved(parameters: Sequence[Tensor], move: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Moves the parameters while the context lasts."""
    before = [p.detach().clone() for p in parameters]
    try:
        with torch.no_grad():
            for p in parameters:
                p.copy_(move(p))
        yield
    finally:
        with torch.no_grad():
            for p, value in zip(parameters, before, strict=True):
                p.copy_(value)


def _elsewhere(p: Tensor) -> Tensor:
    wave = torch.arange(p.numel(), device=p.device, dtype=p.dtype).cos().view_as(p)
    return p + _PERTURBATION * wave * (p.abs() + _PERTURBATION)


def _by_last_places(share: float, p: Tensor) -> Tensor:
    return p * (1 + share * torch.finfo(p.dtype).eps ** 0.5)
