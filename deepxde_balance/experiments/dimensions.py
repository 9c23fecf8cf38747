"""The dimensions of a search: ranges of numbers and choices."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._checks import is_number

if TYPE_CHECKING:
    import skopt.space

#: Positive bounds that are so many times apart are searched on a logarithmic scale.
_LOG_FROM = 100

#: Values are rounded to about this part of a range, so that they are short.
_RESOLUTION = 1e-3


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`.

    Args:
        name: What is searched.
        low: The lowest value.
        high: The highest value.
        integer: Whether only integers are meant.
        log: Whether the scale is logarithmic.
    """

    name: str
    low: float
    high: float
    integer: bool
    log: bool

    @property
    def corners(self) -> tuple[float, float]:
        """The lowest and the highest value."""
        return self.low, self.high

    def scikit(self) -> skopt.space.Dimension:
        """The dimension for scikit-optimize."""
        from skopt.space import Integer, Real

        kind = Integer if self.integer else Real
        return kind(self.low, self.high, prior="log-uniform" if self.log else "uniform")

    def value(self, raw: Any) -> float:
        """The value of a coordinate."""
        return int(raw) if self.integer else float(raw)

    def rounded(self, raw: Any) -> float:
        """The value for a new coordinate of scikit-optimize, rounded to few digits."""
        if self.integer:
            return int(raw)
        width = math.log(self.high / self.low) if self.log else self.high - self.low
        digits = -math.floor(math.log10(width * _RESOLUTION))
        if self.log:
            digits -= math.floor(math.log10(raw))
        return min(max(round(float(raw), digits), self.low), self.high)

    def raw(self, value: float) -> Any:
        """The coordinate of a value."""
        return value

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return False
        whole = not self.integer or float(value).is_integer()
        return self.low <= value <= self.high and whole


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of several values without an order.

    Args:
        name: What is searched.
        values: Numbers, texts, truth values and ``None``.
        prior: The probabilities of the values in the first, random calls; ``None`` for equal ones.
    """

    name: str
    values: tuple[Any, ...]
    prior: tuple[float, ...] | None = None

    @property
    def corners(self) -> tuple[Any, ...]:
        """All values."""
        return self.values

    def scikit(self) -> skopt.space.Dimension:
        """The dimension for scikit-optimize: the values' positions, for it makes them one type."""
        from skopt.space import Categorical

        return Categorical(range(len(self.values)), prior=self.prior)

    def value(self, raw: Any) -> Any:
        """The value of a coordinate."""
        return self.values[int(raw)]

    def rounded(self, raw: Any) -> Any:
        """The value for a new coordinate of scikit-optimize: a choice has nothing to round."""
        return self.value(raw)

    def raw(self, value: Any) -> Any:
        """The coordinate of a value."""
        texts = [repr(one) for one in self.values]  # True equals 1, and may be a choice beside it
        return texts.index(repr(value)) if repr(value) in texts else self.values.index(value)

    def __contains__(self, value: object) -> bool:
        return value in self.values


Dimension = Range | Choice


def dimension(name: str, given: Any, *, log: bool = False, real: bool = False) -> Dimension:
    """The dimension that a user gave.

    Args:
        name: What is searched.
        given: A tuple (low, high), a list of choices, or a dimension of scikit-optimize.
        log: Whether the scale of a tuple is logarithmic however close its numbers are.
        real: Whether a tuple of integers means all numbers between them.

    Raises:
        TypeError: If it is something else.
        ValueError: If a range is empty or a list has fewer than two choices.
    """
    from skopt.space import Categorical, Integer, Real

    if isinstance(given, (Real, Integer)):
        scale = given.prior == "log-uniform"
        return _range(name, given.low, given.high, isinstance(given, Integer), scale)
    if isinstance(given, Categorical):
        prior = None if given.prior is None else tuple(float(p) for p in given.prior)
        return _choice(name, given.categories, prior)
    if isinstance(given, list):
        return _choice(name, given)
    if not isinstance(given, tuple) or len(given) != 2 or not all(map(is_number, given)):
        raise TypeError(
            f"space[{name!r}]={given!r} is not allowed: give a tuple of two numbers (low, high), a "
            "list of choices, or scikit-optimize's Real, Integer or Categorical."
        )
    low, high = given
    integer = not real and all(isinstance(end, numbers.Integral) for end in given)
    return _range(name, low, high, integer, log or 0 < low <= high / _LOG_FROM)


def _range(name: str, low: Any, high: Any, integer: bool, log: bool) -> Range:
    low, high = (int(low), int(high)) if integer else (float(low), float(high))
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(
            f"space[{name!r}]=({low!r}, {high!r}) is not allowed: the first number must be below "
            "the second, and both finite."
        )
    if log and low <= 0:
        raise ValueError(
            f"space[{name!r}]=({low!r}, {high!r}) is not allowed: its scale is logarithmic, so "
            "both numbers must be above 0."
        )
    return Range(name, low, high, integer, log)


def _choice(name: str, given: Sequence[Any], prior: tuple[float, ...] | None = None) -> Choice:
    values = tuple(one.item() if hasattr(one, "item") else one for one in given)
    for value in values:
        if value is not None and not isinstance(value, (str, bool)) and not is_number(value):
            raise TypeError(
                f"space[{name!r}] has the choice {value!r}, which is not allowed: give numbers, "
                "texts, truth values or None."
            )
    if len(values) < 2 or len(set(map(repr, values))) < len(values):
        raise ValueError(
            f"space[{name!r}]={list(values)!r} is not allowed: give two choices or more, each once."
        )
    return Choice(name, values, prior)
