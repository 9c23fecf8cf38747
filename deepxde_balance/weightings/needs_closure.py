"""Tells optimizers that evaluate the loss themselves."""

from __future__ import annotations

import inspect

import torch


def needs_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Whether an optimizer evaluates the loss several times in a step, such as L-BFGS and NNCG."""
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty
