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
    """Whether a loss function is certainly no mean over points.

    Its value on a few errors is compared with the weighted sum of its values on two parts of them.
    Where it can't be evaluated on such errors, nothing is certain.

    Args:
        loss_fn: DeepXDE's loss function of targets and outputs.
        like: A tensor with the device and the float type of errors.
    """
    steps = torch.arange(1, _ERRORS + 1, dtype=like.dtype, device=like.device)
    errors = (steps.square() * steps.cos()).unsqueeze(1)
    try:
        whole, first, second = (
            float(loss_fn(torch.zeros_like(e), e))
            for e in (errors, errors[:_FIRST], errors[_FIRST:])
        )
    except Exception:
        return False
    in_parts = (_FIRST * first + (_ERRORS - _FIRST) * second) / _ERRORS
    rounding: float = torch.finfo(like.dtype).eps ** 0.5 * abs(whole)
    return abs(in_parts - whole) > rounding
