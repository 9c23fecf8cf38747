"""One iteration of the one-pass engine as a compiled function, and whether it still is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .gradients import Batch, GradientEngine, IterationGradients, Parameters
from .probe import no_trace
from .traced import Traced

#: Relative; what does not follow the parameters shows by far more than rounding.
_PERTURBATION = 0.05


@dataclass(frozen=True)
class CompiledIteration:
    """An iteration on certain points as a compiled function of the tensors that it reads.

    Args:
        one_pass: The engine whose iteration it is.
        batch: The points.
        traced: Its operations.
        function: The same, compiled.
        parameters: The trainable parameters.
        used: See :class:`~deepxde_balance.gradients.IterationGradients`; the same each time.
        reached: Likewise.
    """

    one_pass: GradientEngine
    batch: Batch
    traced: Traced
    function: Callable[..., tuple[Tensor, Tensor]]
    parameters: Parameters
    used: Tensor | None
    reached: tuple[bool, ...]

    def is_of(self, batch: Batch, parameters: Parameters) -> bool:
        """Whether it is of these points and trainable parameters."""
        return batch.inputs is self.batch.inputs and self.trains(parameters)

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

    def agrees(self) -> bool:
        """Whether losses and gradients are those of the one-pass engine, but for rounding.

        Compared at other parameters than the model's: a number that was made of a parameter
        shows, and losses are not as small as training makes them, where they are little but
        rounding.
        """
        with no_trace(self.one_pass.model.net), _elsewhere(self.parameters.all):
            expected = self.one_pass.gradients(self.batch)
            found = self.evaluate()
        return _close(found.losses.unsqueeze(1), expected.losses.unsqueeze(1)) and _close(
            found.values, expected.values
        )


def compile_graph(traced: Traced) -> Callable[..., Any]:
    """The graph, compiled by PyTorch's default compiler."""
    return torch.compile(traced.graph, fullgraph=True, dynamic=False)


def _close(found: Tensor, expected: Tensor) -> bool:
    """Whether rows agree, each by its own size; where `expected` is not finite, all agrees.

    A row far smaller than the largest is nothing but rounding: a condition that the network meets
    by construction.
    """
    epsilon = torch.finfo(expected.dtype).eps
    size = torch.linalg.vector_norm(expected, dim=1)
    finite = size.isfinite()
    largest = torch.where(finite, size, 0.0).max()
    distance = torch.linalg.vector_norm(found - expected, dim=1)
    return not bool((~(distance <= epsilon**0.5 * size + epsilon * largest) & finite).any())


@contextmanager
def _elsewhere(parameters: Sequence[Tensor]) -> Iterator[None]:
    """Moves the parameters while the context lasts."""
    before = [p.detach().clone() for p in parameters]
    try:
        with torch.no_grad():
            for p in parameters:
                wave = torch.arange(p.numel(), device=p.device, dtype=p.dtype).cos().view_as(p)
                p.add_(_PERTURBATION * wave * (p.abs() + _PERTURBATION))
        yield
    finally:
        with torch.no_grad():
            for p, value in zip(parameters, before, strict=True):
                p.copy_(value)
