"""Checks of arguments. An error names the argument, what was given and what is allowed."""

from __future__ import annotations

import difflib
import inspect
import math
import numbers
from collections.abc import Callable, Iterable
from typing import Any


def is_number(value: object) -> bool:
    """Whether `value` is a real number of Python or NumPy; a truth value is none."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def as_float(value: Any) -> float:
    """The float nearest to a number; nan for what is no number or beyond the range of floats."""
    try:
        return float(value) if is_number(value) else math.nan
    except OverflowError:
        return math.nan


def text(name: str, value: str, example: str) -> str:
    """Returns `value` if it is a text; raises TypeError if not."""
    if not isinstance(value, str):
        raise TypeError(f"{name}={value!r} is not allowed: give a text such as {example!r}.")
    return value


def in_interval(name: str, value: float, low: float, high: float, brackets: str) -> float:
    """Returns `value` as a float if it lies in an interval.

    Args:
        name: The argument's name, for the error.
        value: What was given.
        low: Lower end of the interval.
        high: Upper end of the interval.
        brackets: Which ends belong to the interval: ``"[)"`` includes `low` and excludes `high`.

    Raises:
        ValueError: If `value` is no number or lies outside.
    """
    number = as_float(value)
    above = number >= low if brackets[0] == "[" else number > low
    below = number <= high if brackets[1] == "]" else number < high
    if not (above and below):
        raise ValueError(
            f"{name}={value!r} is not allowed: it must be a number in "
            f"{brackets[0]}{low}, {high}{brackets[1]}."
        )
    return number


def positive_int(name: str, value: int) -> int:
    """Returns `value` as an int; raises ValueError unless it is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(f"{name}={value!r} is not allowed: it must be an integer of at least 1.")
    return int(value)


def max_weight(value: float | None) -> float | None:
    """Checks an upper bound of the weights. It is at least 1, since every weight starts at 1."""
    return None if value is None else in_interval("max_weight", value, 1.0, math.inf, "[)")


def min_weight(value: float | None) -> float | None:
    """Checks a lower bound of the weights. It is at most 1, since every weight starts at 1."""
    return None if value is None else in_interval("min_weight", value, 0.0, 1.0, "(]")


def factor(name: str, value: float) -> float:
    """Checks a static factor on a loss, which is finite and not negative."""
    return in_interval(name, value, 0.0, math.inf, "[)")


def unknown_name(what: str, given: object, known: Iterable[str]) -> ValueError:
    """The error for an unknown name. It suggests the closest known name and lists all of them."""
    known = list(known)
    close = difflib.get_close_matches(str(given), known, n=1, cutoff=0.4)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return ValueError(f"Unknown {what} {given!r}.{hint} Known: {', '.join(known)}.")


def check_parameters(
    what: str, name: str, factory: Callable[..., object], parameters: Iterable[str]
) -> None:
    """Checks that a factory that goes by a name takes some parameters.

    Raises:
        TypeError: If it does not take one of them.
    """
    takes = inspect.signature(factory).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in takes):
        return
    allowed = [p.name for p in takes if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for parameter in parameters:
        if parameter not in allowed:
            known = f"it takes {', '.join(allowed)}" if allowed else "it takes none"
            raise TypeError(f"The {what} {name!r} has no parameter {parameter!r}: {known}.")
