"""Whether a loss function is a mean over points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

#: The errors that a loss function is tried on, and how many of them are its first part. The parts
#: differ in size and number, so that a norm or a sum is told from a mean.
_ERRORS, _FIRST = 12, 4


def is_no_mean(loss_fn: Callable[[Tensor, Tensor], Any], like: Tensor) -> bool:
    """Whether a loss function is certainly no mean over points, by a few errors of different size.

    Args:
        loss_fn: DeepXDE's loss function of targets and outputs.
        like: A tensor with the device and the float type of errors.
    """
    steps = torch.arange(1, _ERRORS + 1, dtype=like.dtype, device=like.device)
    return is_no_mean_of(loss_fn, (steps.square() * steps.cos()).unsqueeze(1), _FIRST)


def is_no_mean_of(
    loss_fn: Callable[[Tensor, Tensor], Any], errors: Tensor, first: int | None = None
) -> bool:
    """Whether a loss function is certainly no mean over some points.

    Its value and its derivatives by the errors are compared with the weighted sum of those of two
    parts of the errors. Where it can't be evaluated on such errors, nothing is certain.

    Args:
        loss_fn: DeepXDE's loss function of targets and outputs.
        errors: The errors of the points.
        first: How many of them are the first part; by default a third.
    """
    if first is None:
        first = len(errors) // 3
    if first == 0:
        return False
    share = first / len(errors)
    try:
        (whole, slopes), (value, head), (other, tail) = (
            _value_and_slopes(loss_fn, some) for some in (errors, errors[:first], errors[first:])
        )
    except Exception:  # of a function of the script's own, which the problem's losses are to tell
        return False
    rounding: float = torch.finfo(errors.dtype).eps ** 0.5
    difference = share * value + (1 - share) * other - whole
    if abs(difference) > rounding * max(abs(whole), abs(value), abs(other)):
        return True
    in_parts = torch.cat([share * head, (1 - share) * tail])
    return float((in_parts - slopes).abs().max()) > rounding * float(slopes.abs().max())


@torch.enable_grad()
def _value_and_slopes(
    loss_fn: Callable[[Tensor, Tensor], Any], errors: Tensor
) -> tuple[float, Tensor]:
    """The value of a loss function at some errors, and its derivatives by them."""
    leaf = errors.detach().requires_grad_()
    loss = loss_fn(torch.zeros_like(leaf), leaf)
    return float(loss.detach()), torch.autograd.grad(loss, leaf)[0]
