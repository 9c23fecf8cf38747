"""The users' hooks on parameters: called for the gradient that the optimizer gets, no other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def set_gradients(
    parameters: Sequence[Tensor], gradients: Sequence[Tensor | None], penalty: Tensor | float
) -> None:
    """Gives parameters their gradients, as the backward of a loss would.

    Args:
        parameters: The parameters.
        gradients: Theirs; ``None`` for one that the loss does not depend on.
        penalty: What is to be added to the loss.
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
    for p, g in zip(parameters, gradients, strict=True):  # the same, and faster
        p.grad = g


def _has_hooks(p: Tensor) -> bool:
    return bool(p._backward_hooks) or bool(getattr(p, "_post_accumulate_grad_hooks", None))
