"""The point weightings by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from .._checks import check_parameters, unknown_name
from ..weightings import Weighting, words
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
        TypeError: If a name has no such parameter, or `given` is a class, a strategy or a list of
            names.
    """
    if isinstance(given, PointWeighting):
        return given
    _refuse_others(given)
    if not isinstance(given, str):
        return FixedPoints(given)
    name, parameters = words.parse(given)
    if name not in _BY_NAME:
        raise unknown_name("point weighting", name, names())
    check_parameters("point weighting", name, _BY_NAME[name], parameters)
    return _BY_NAME[name](**parameters)


def _refuse_others(given: Any) -> None:
    """Raises a TypeError for what looks like a point weighting and is none."""
    if isinstance(given, type):
        raise TypeError(
            f"point_weights={given.__name__} is not allowed: it is a class; give an object, as in "
            "ddb.RBA()."
        )
    if isinstance(given, Weighting):
        raise TypeError(
            f"point_weights={type(given).__name__}(...) is not allowed: it is a strategy, for "
            f"loss_weights. The point weightings are {', '.join(names())}."
        )
    if isinstance(given, (list, tuple)) and any(map(_is_meant, given)):
        raise TypeError(
            f"point_weights={given!r} is not allowed: a term has one point weighting. Give a "
            'mapping, as in {"pde": "rba", "bc0": "brdr"}.'
        )


def _is_meant(one: Any) -> bool:
    """Whether an entry of a list is a point weighting or its name."""
    if isinstance(one, str):
        return words.plain_name(one.partition(":")[0]) in _BY_NAME
    return isinstance(one, PointWeighting)
