"""The strategies of a comparison, each with a short name that tells it from the others."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from .. import weightings
from ..weightings import Weighting, words
from ..weightings.base import Keep

#: File systems allow names of 255 characters.
_LONGEST = 200


@dataclasses.dataclass(frozen=True)
class Strategy:
    """A weighting under a short name.

    Args:
        name: A word, e.g. ``"dn:beta=0.9"``.
        weighting: The weighting.
    """

    name: str
    weighting: Weighting

    @property
    def folder(self) -> str:
        """The name, with only those characters that every file system allows.

        Of a name that is too long for one, the rest is a checksum.
        """
        name = re.sub(r"[^a-z0-9._=-]+", "_", self.name.lower())
        if len(name) <= _LONGEST:
            return name
        return f"{name[:_LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"

    @property
    def parameters(self) -> dict[str, Any]:
        """The weighting's class and parameters, in the types of JSON."""
        return {"class": type(self.weighting).__name__, **parameters(self.weighting)}


def named(given: Iterable[str | Weighting]) -> list[Strategy]:
    """The strategies with their names.

    The name of a weighting object is that of the preset that it is, or its class, with those
    parameters that differ from the defaults.

    Args:
        given: Names, words like ``"dn:beta=0.9"``, and weighting objects.

    Raises:
        ValueError: If there is no strategy, a name is unknown, two strategies are the same, or
            one keeps the weights of a phase before.
        TypeError: If a strategy is neither a text nor a weighting object.
    """
    if isinstance(given, (str, Weighting)) or not isinstance(given, Iterable):
        raise TypeError(
            f"strategies={given!r} is not allowed: give a list of names and weighting objects."
        )
    strategies: list[Strategy] = []
    for one in given:
        new = _strategy(one)
        for other in strategies:
            if other.folder == new.folder or other.parameters == new.parameters:
                raise ValueError(
                    f"strategies: {new.name!r} is {other.name!r} again. Leave one out, or give "
                    "them parameters that differ, numbers or texts."
                )
        strategies.append(new)
    if not strategies:
        raise ValueError("strategies is empty: give names or weighting objects, e.g. ['equal'].")
    return strategies


def parameters(module: nn.Module) -> dict[str, Any]:
    """The public settings of a weighting and of its parts by name, in the types of JSON."""
    found: dict[str, Any] = {}
    for name, value in vars(module).items():
        if name.startswith("_") or name in ("training", "iteration") or isinstance(value, Tensor):
            continue
        plain = value is None or isinstance(value, (bool, int, str))
        if plain or (isinstance(value, float) and math.isfinite(value)):
            found[name] = value
        elif " at 0x" not in repr(value):  # what has an address has no text of its own
            found[name] = repr(value)
    for name, part in module.named_children():
        found[name] = type(part).__name__
        found |= {f"{name}.{key}": value for key, value in parameters(part).items()}
    return found


def _strategy(given: str | Weighting) -> Strategy:
    weighting = weightings.get(given)
    if isinstance(weighting, Keep):
        raise ValueError("'keep' keeps the weights of a phase before: a run has none.")
    name = words.normalized(given) if isinstance(given, str) else _name(weighting)
    return Strategy(name, weighting)


def _name(weighting: Weighting) -> str:
    """The shortest word for a weighting object."""
    bases = _defaults(weighting) or {type(weighting).__name__: {}}
    own = parameters(weighting)
    found = [
        words.written(name, _differing(own, base)) if base else _with_all(name, own)
        for name, base in bases.items()
    ]
    return min(found, key=lambda word: (word.count("="), word.count(":")))


def _defaults(weighting: Weighting) -> dict[str, dict[str, Any]]:
    """The parameters, by name, of those presets that are of the same class.

    Where there is none, they are those of the class with its own defaults, if it has them all.
    """
    kind = type(weighting)
    presets = {name: weightings.get(name) for name in weightings.names() if _has_defaults(name)}
    same = {name: parameters(made) for name, made in presets.items() if type(made) is kind}
    if same:
        return same
    try:
        return {kind.__name__: parameters(kind())}
    except TypeError:  # there are parameters without a default
        return {}


def _has_defaults(name: str) -> bool:
    try:
        weightings.get(name)
    except TypeError:
        return False
    return True


def _differing(own: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that the base does not have, by the last part of their names."""
    return {
        name.rpartition(".")[2]: value
        for name, value in own.items()
        if name not in base or base[name] != value
    }


def _with_all(name: str, own: Mapping[str, Any]) -> str:
    given = {key: value for key, value in own.items() if value is not None}
    return words.written(name, _differing(given, {}))
