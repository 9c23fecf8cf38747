"""Evaluation of many small groups at once, each with its own copies of the parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import deepxde as dde
import torch
from torch import Tensor
from torch.func import functional_call

#: From this number of groups on, evaluating the stack is faster than evaluating each group.
WORTH_STACKING = 4

_OF_VALUES = (dde.icbc.DirichletBC, dde.icbc.IC, dde.icbc.PointSetBC)


def compares_values(condition: Any) -> bool:
    """Whether a condition's error is made of the network's outputs, without derivatives."""
    return any(
        isinstance(condition, kind) and type(condition).error is kind.error for kind in _OF_VALUES
    )


def stacked_outputs(
    net: torch.nn.Module, copies: Sequence[Mapping[str, Tensor]], inputs: Sequence[Tensor]
) -> list[Tensor]:
    """Evaluates the network at each group's points with that group's copies of the parameters.

    Args:
        net: The network.
        copies: For each group k a mapping from the parameters' names to its copies.
        inputs: For each group its points, shape (N_k, d).

    Returns:
        For each group its outputs, shape (N_k, number of outputs).
    """
    stacked = {name: torch.stack([group[name] for group in copies]) for name in copies[0]}
    points = _padded(inputs)

    def forward(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        outputs: Tensor = functional_call(net, parameters, x, tie_weights=False)
        return outputs

    outputs = torch.vmap(forward)(stacked, points)
    return [u[: len(x)] for u, x in zip(outputs, inputs, strict=True)]


def _padded(inputs: Sequence[Tensor]) -> Tensor:
    """Pads each group's points to the longest group by repeating its last point.

    Other points, such as zeros, are not safe: a logarithm or quotient in a transform may be
    infinite there, and then makes all gradients nan, although the output is not used.

    Returns:
        Shape (K, max N_k, d).
    """
    longest = max(map(len, inputs))
    return torch.stack(
        [torch.cat([x, x[-1:].expand(longest - len(x), *x.shape[1:])]) for x in inputs]
    )
