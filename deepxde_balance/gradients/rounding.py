"""How large the rounding errors of an evaluation are: seen by last-digit changes of parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import deepxde as dde
import torch
from torch import Tensor

Evaluated = TypeVar("Evaluated")

#: Last-digit changes of the parameters, relative, in units of the root of the machine epsilon:
#: small enough that their effect is like rounding, large enough that most sums in float32 are
#: rounded otherwise. They show how large rounding errors are.
LAST_DIGIT_CHANGES = (0.02, -0.013, 0.017, -0.019, 0.011, -0.007, 0.005, -0.011, 0.013, -0.017)

#: Differences up to this multiple of an observed rounding error count as rounding.
ROUNDING_FACTOR = 30


def at_other_last_digits(
    parameters: Sequence[Tensor],
    evaluate: Callable[[], Evaluated],
    changes: Sequence[float] = LAST_DIGIT_CHANGES,
    epsilon: float | None = None,
) -> list[Evaluated]:
    """Evaluates something at parameters that differ in their last digits.

    Args:
        parameters: The parameters. They are as before when it ends.
        evaluate: What is evaluated.
        changes: The changes, one for each evaluation.
        epsilon: The machine epsilon; by default that of each parameter's float type.
    """
    results = []
    for change in changes:
        with moved(parameters, partial(_by_last_digits, change, epsilon)):
            results.append(evaluate())
    return results


def _by_last_digits(change: float, epsilon: float | None, p: Tensor) -> Tensor:
    share: float = change * (torch.finfo(p.dtype).eps if epsilon is None else epsilon) ** 0.5
    return p * (1 + share)


@contextmanager
def moved(parameters: Sequence[Tensor], move: Callable[[Tensor], Tensor]) -> Iterator[None]:
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


def machine_epsilon(losses: Tensor, network: torch.dtype) -> float:
    """The machine epsilon of losses.

    Args:
        losses: The losses. Errors may have a finer float type than the network, from a constant
            that was made from NumPy, but no more digits.
        network: The float type of the network.
    """
    types = [torch.float16] if dde.config.mixed else [losses.dtype, network]
    return float(max(torch.finfo(one).eps for one in types))
