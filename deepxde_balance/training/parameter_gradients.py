"""Sets the gradients of parameters, and calls the hooks that users have put on parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def forget_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Sets all gradients to ``None``, by the optimizer's own `zero_grad` if it has one."""
    if getattr(optimizer.zero_grad, "__func__", None) is not torch.optim.Optimizer.zero_grad:
        optimizer.zero_grad()
        return
    for group in optimizer.param_groups:  # without what PyTorch records for its profiler
        for p in group["params"]:
            p.grad = None


def parameter_gradients(
    flat: Tensor, parameters: Sequence[Tensor], reached: Sequence[bool]
) -> list[Tensor | None]:
    """Cuts a flat gradient into one for each parameter.

    Args:
        flat: The gradients of all parameters one after the other.
        parameters: The parameters.
        reached: Whether the loss depends on each parameter. If not, its gradient is ``None``.
    """
    pieces = flat.split_with_sizes([p.numel() for p in parameters])
    return [
        _like(p, piece) if used else None
        for p, piece, used in zip(parameters, pieces, reached, strict=True)
    ]


def _like(p: Tensor, flat: Tensor) -> Tensor:
    """A flat gradient in the type and the shape of its parameter."""
    if flat.dtype != p.dtype:
        flat = flat.to(p)
    return flat if p.dim() == 1 else flat.view(p.shape)


def set_gradients(
    parameters: Sequence[Tensor], gradients: Sequence[Tensor | None], penalty: Tensor | float
) -> None:
    """Sets the parameters' `grad`, as the backward of a loss would.

    Hooks on the parameters are called.

    Args:
        parameters: The parameters.
        gradients: The gradient for each parameter; ``None`` for an unused parameter.
        penalty: A term of the loss whose gradient is to be added, shape ().
    """
    roots: dict[Any, Tensor] = {
        p: g for p, g in zip(parameters, gradients, strict=True) if g is not None
    }
    by_autograd = any(map(_has_hooks, parameters))
    if isinstance(penalty, Tensor) and penalty.requires_grad:
        roots[penalty] = torch.ones_like(penalty)
        by_autograd = True
    if by_autograd:
        torch.autograd.backward(list(roots), list(roots.values()), inputs=list(parameters))
        return
    for p, g in zip(parameters, gradients, strict=True):  # faster than autograd
        p.grad = g


def _has_hooks(p: Tensor) -> bool:
    return bool(p._backward_hooks) or bool(getattr(p, "_post_accumulate_grad_hooks", None))
