"""Checks of hyperparameters, shared by the weightings: what was given, what is allowed."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def is_number(value: object) -> bool:
    """Whether `value` is a real number, NumPy's included."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def in_interval(name: str, value: float, low: float, high: float, brackets: str) -> float:
    """`value` if it lies between `low` and `high`; `brackets` tell which ends belong: "[)"."""
    above = is_number(value) and (value >= low if brackets[0] == "[" else value > low)
    below = is_number(value) and (value <= high if brackets[1] == "]" else value < high)
    if not (above and below):
        raise ValueError(
            f"{name}={value!r} is not allowed: it must be a number in "
            f"{brackets[0]}{low}, {high}{brackets[1]}."
        )
    return float(value)


def positive_int(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(f"{name}={value!r} is not allowed: it must be an integer of at least 1.")
    return int(value)


def max_weight(value: float | None) -> float | None:
    """At least 1, which is what every weight starts from."""
    return None if value is None else in_interval("max_weight", value, 1.0, math.inf, "[)")


def min_weight(value: float | None) -> float | None:
    """Checks a lower bound of the weights, which start at 1."""
    return None if value is None else in_interval("min_weight", value, 0.0, 1.0, "(]")


def factor(name: str, value: float) -> float:
    """A static factor on a loss: finite and not negative."""
    return in_interval(name, value, 0.0, math.inf, "[)")


def unknown_name(what: str, given: str, known: Iterable[str]) -> ValueError:
    """The error for a name that is not there: what is, and which of it comes closest."""
    known = list(known)
    close = difflib.get_close_matches(given, known, n=1, cutoff=0.4)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return ValueError(f"Unknown {what} {given!r}.{hint} Known: {', '.join(known)}.")


def choose(what: str, given: Any, base: Any, by_name: Mapping[str, Callable[[], T]]) -> T:
    """An object of class `base`: `given` itself, or a new one made by its name."""
    if isinstance(given, base):
        return given
    if isinstance(given, str):
        if given.lower() not in by_name:
            raise unknown_name(what, given, by_name)
        return by_name[given.lower()]()
    raise TypeError(
        f"{what}={given!r} is not allowed: give one of {', '.join(map(repr, by_name))} or an "
        f"object of class {base.__name__}."
    )
