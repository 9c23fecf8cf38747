"""Old names that still work for a while, with a warning that says what to use instead.

The policy is in CONTRIBUTING.md: an old name works for one minor version after the one that
deprecates it. The warning is a ``FutureWarning``, because Python hides a ``DeprecationWarning``
from everyone but the authors of the calling script.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from typing_extensions import deprecated

P = ParamSpec("P")
R = TypeVar("R")


def deprecated_in_favour_of(
    instead: str, *, removed_in: str
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Makes each call of a function, or of a class, warn.

    Args:
        instead: What to use instead, as a user writes it.
        removed_in: The version in which the old name goes away.

    Example:
        >>> @deprecated_in_favour_of("ddb.diagnose", removed_in="0.3")
        ... def diagnosis(model): ...
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        message = _message(function.__name__, instead, removed_in)
        return deprecated(message, category=FutureWarning)(function)

    return decorate


def renamed_argument(
    old: str, new: str, *, removed_in: str
) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Lets a function take a keyword argument by its old name too, with a warning.

    The function itself only has the new name.

    Args:
        old: The old name, which must not be one of the function's arguments.
        new: The new name.
        removed_in: The version in which the old name goes away.

    Raises:
        TypeError: By the decorated function, where it is given both names.

    Example:
        >>> @renamed_argument("every", "update_every", removed_in="0.3")
        ... def strategy(*, update_every=100): ...
    """

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        @functools.wraps(function)
        def with_old_name(*args: Any, **kwargs: Any) -> R:
            if old in kwargs:
                name = function.__name__
                if new in kwargs:
                    raise TypeError(
                        f"{name}() got {new!r} and its old name {old!r}; give {new!r} alone."
                    )
                warnings.warn(
                    _message(f"{old}= of {name}()", f"{new}=", removed_in),
                    FutureWarning,
                    stacklevel=2,
                )
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return with_old_name

    return decorate


def _message(old: str, instead: str, removed_in: str) -> str:
    return (
        f"{old} is deprecated and goes away in deepxde-balance {removed_in}; use {instead} instead."
    )
