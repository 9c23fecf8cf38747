"""Parts of a strategy, such as its average, by a name or by a word with parameters.

A word of a part is written as a strategy's is, with semicolons between its parameters:
``"growth:rate=1.1;met=0.1"``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from .._checks import check_parameters, unknown_name
from . import words

T = TypeVar("T")


def choose(what: str, given: Any, base: Any, by_name: Mapping[str, Callable[..., T]]) -> T:
    """Returns an object of class `base`, which was given itself, by its name or by a word.

    Args:
        what: The argument's name, for the errors.
        given: An object of class `base`, a name in any case, or a name with parameters.
        base: The class.
        by_name: For each name a function that makes an object of class `base`.

    Raises:
        ValueError: If the name is unknown, the word can't be read, or a value is not allowed.
        TypeError: If `given` is neither a text nor an object of class `base`, or there is no such
            parameter.
    """
    if isinstance(given, base):
        found: T = given
        return found
    if not isinstance(given, str):
        raise TypeError(
            f"{what}={given!r} is not allowed: give one of {', '.join(map(repr, by_name))} or an "
            f"object of class {base.__name__}."
        )
    name, parameters = words.parse(given.replace(";", ","))
    if name not in by_name:
        raise unknown_name(what, name, by_name)
    check_parameters(what, name, by_name[name], parameters)
    return by_name[name](**parameters)
