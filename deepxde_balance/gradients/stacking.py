"""Many small groups through the network at once, each with its own copies of the parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import deepxde as dde
import torch
from torch import Tensor
from torch.func import functional_call

#: From this many groups on, one evaluation of the stack is faster than one of each.
WORTH_STACKING = 4

_OF_VALUES = (dde.icbc.DirichletBC, dde.icbc.IC, dde.icbc.PointSetBC)


def compares_values(condition: Any) -> bool:
    """Whether a condition looks at the network's outputs only, at no derivative of them."""
    return any(
        isinstance(condition, kind) and type(condition).error is kind.error for kind in _OF_VALUES
    )


def stacked_outputs(
    net: torch.nn.Module, copies: Sequence[Mapping[str, Tensor]], inputs: Sequence[Tensor]
) -> list[Tensor]:
    """The network's outputs for each group, through that group's copies of the parameters.

    Args:
        net: The network.
        copies: For each group a mapping from the parameters' names to its copies.
        inputs: Each group's points, shape (N_k, d).

    Returns:
        Each group's outputs, shape (N_k, outputs).
    """
    stacked = {name: torch.stack([group[name] for group in copies]) for name in copies[0]}
    points = _padded(inputs)  # (K, max N_k, d)

    def forward(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(net, parameters, x, tie_weights=False)

    outputs = torch.vmap(forward)(stacked, points)
    return [u[: len(x)] for u, x in zip(outputs, inputs, strict=True)]


def _padded(inputs: Sequence[Tensor]) -> Tensor:
    """The groups' points, each group's last one repeated: where the network may be evaluated.

    At a point of our own making, 0 say, a logarithm or a quotient in a transform may be infinite,
    and then makes every gradient nan, although its output is not used.
    """
    longest = max(map(len, inputs))
    return torch.stack(
        [torch.cat([x, x[-1:].expand(longest - len(x), *x.shape[1:])]) for x in inputs]
    )
