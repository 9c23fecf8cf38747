"""The point weightings by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from .._checks import unknown_name
from ..weightings import words
from .base import PointWeighting
from .brdr import BRDR
from .causal import Causal
from .fixed import FixedPoints
from .rba import RBA
from .self_adaptive import SelfAdaptive

#: The names, for editors and type checkers.
PointWeightingName = Literal["rba", "brdr", "causal", "sa"]

_BY_NAME: Mapping[str, Callable[..., PointWeighting]] = {
    "rba": RBA,
    "brdr": BRDR,
    "causal": Causal,
    "sa": SelfAdaptive,
}


def names() -> list[str]:
    """The names of the point weightings."""
    return list(_BY_NAME)


def get(given: Any) -> PointWeighting:
    """A point weighting; an object of :class:`PointWeighting` is returned as it is.

    Args:
        given: A name, perhaps with parameters (``"rba:eta=0.001"``); an object; an array of one
            number per point; or a function of the points.

    Raises:
        ValueError: If the name is unknown, or a parameter or number is not allowed.
        TypeError: If a name has no such parameter.
    """
    if isinstance(given, PointWeighting):
        return given
    if not isinstance(given, str):
        return FixedPoints(given)
    name, parameters = words.parse(given)
    if name not in _BY_NAME:
        raise unknown_name("point weighting", name, names())
    try:
        return _BY_NAME[name](**parameters)
    except TypeError as error:
        raise TypeError(f"point_weights={given!r} is not allowed: {error}") from error
