"""Refuses residuals and conditions that give nothing to train with, and names them.

DeepXDE takes what a script's functions return as it is, and fails later, or gives a loss of nan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import deepxde as dde
import torch
from deepxde.utils import get_num_args

from .._deepxde.batch import number_of_condition_points, problem_of
from .term import condition_name


def check_residuals(residuals: Any, problem: dde.data.PDE | None) -> None:
    """Checks what a PDE returned.

    Args:
        residuals: A residual, or a list or tuple of them.
        problem: The data whose conditions' rows come first in each residual; ``None`` where a
            residual has other rows.

    Raises:
        TypeError: If a residual is no tensor of real numbers.
        ValueError: If a residual has no row for the residual points.
    """
    listed = residuals if isinstance(residuals, (list, tuple)) else [residuals]
    first = 0 if problem is None else number_of_condition_points(problem)
    for i, residual in enumerate(listed):
        name = f"Residual {i} of the PDE"
        _check_tensor(name, residual)
        if len(residual) <= first:
            raise ValueError(
                f"{name} has {len(residual)} rows, the first {first} of which belong to "
                "conditions: no row is left, and its loss would be nan. Give one row per point, "
                "and sample residual points (num_domain)."
            )


def check_called(data: dde.data.Data, num_losses: int, called: bool) -> None:
    """Refuses a PDE that DeepXDE leaves out because of its number of arguments.

    Args:
        data: The data object.
        num_losses: The number of its losses.
        called: Whether the PDE was called for them.

    Raises:
        ValueError: If it was left out.
    """
    problem = problem_of(data)
    if called or problem is not data or problem.pde is None or num_losses != len(problem.bcs):
        return
    number = get_num_args(problem.pde)
    if number not in (2, 3):
        raise ValueError(
            f"The PDE takes {number} arguments, and DeepXDE leaves it out: it calls functions of "
            "2, the points and the network's outputs, or of 3, with auxiliary variables."
        )


@contextmanager
def checked_conditions(problem: dde.data.PDE | None) -> Iterator[None]:
    """Checks the errors of a problem's conditions while the context lasts.

    Raises:
        TypeError: If the errors of a condition are no tensor of real numbers.
        ValueError: If they can't be evaluated, or there are none.
    """
    conditions = [] if problem is None else list({id(bc): bc for bc in problem.bcs}.values())
    own = [vars(condition).get("error") for condition in conditions]
    for i, condition in enumerate(conditions):
        name = f"The condition {condition_name(problem, i)} ({type(condition).__name__})"
        condition.error = _checked(condition.error, name)
    try:
        yield
    finally:
        for condition, error in zip(conditions, own, strict=True):
            if error is None:
                del condition.error
            else:
                condition.error = error


def _checked(evaluate: Callable[..., Any], name: str) -> Callable[..., Any]:
    @wraps(evaluate)
    def checked(*args: Any, **kwargs: Any) -> Any:
        try:
            errors = evaluate(*args, **kwargs)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise ValueError(f"{name} can't be evaluated at its points. {reason}") from error
        _check_tensor(f"The error of {name[0].lower()}{name[1:]}", errors)
        if not errors.numel() and args[3] < args[4]:  # from, to: a condition without points is told
            raise ValueError(
                f"{name} gives an error of shape {tuple(errors.shape)} at {args[4] - args[3]} "
                "points: its loss would be nan. Does the network have the output that it names?"
            )
        return errors

    return checked


def _check_tensor(name: str, value: Any) -> None:
    allowed = "give a tensor of real numbers, with one row per point"
    if not isinstance(value, torch.Tensor):
        kind = "None" if value is None else f"of type {type(value).__name__}"
        raise TypeError(f"{name} is {kind}: {allowed}.")
    if not value.is_floating_point():
        raise TypeError(f"{name} is a tensor of {value.dtype}: {allowed}.")
    if value.dim() == 0:
        raise ValueError(f"{name} is a tensor of shape (): {allowed}.")
