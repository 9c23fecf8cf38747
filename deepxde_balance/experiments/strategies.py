"""The strategies of a comparison, each with a short name that tells it from the others."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from .. import point_weightings, weightings
from ..point_weightings import FixedPoints, PointWeighting
from ..weightings import Weighting, allocations, averages, guards, words
from ..weightings.base import Keep
from .own_numbers import OwnNumbers, own_numbers

#: File systems allow names of 255 characters.
_LONGEST = 200

#: The parts of a weighting that go by a name.
_PARTS = {**allocations.BY_NAME, **averages.BY_NAME, **guards.BY_NAME}

#: What a user gives for the weights: a word or an object, or fixed weights by loss term.
WeightsGiven = str | Weighting | Sequence[float] | Mapping[str, float]

#: What a user gives for a strategy: weights, or a pair with a point weighting.
StrategyGiven = WeightsGiven | tuple[WeightsGiven, str | PointWeighting]


@dataclasses.dataclass(frozen=True)
class Strategy:
    """A weighting under a short name, perhaps with a point weighting.

    Args:
        name: A word, e.g. ``"dn:beta=0.9"`` or ``"dn:beta=0.9+rba"``.
        weighting: The weighting.
        point_weighting: The point weighting; ``None`` where all points of a term count the same.
    """

    name: str
    weighting: Weighting
    point_weighting: PointWeighting | None = None

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
        """Class and parameters of the weighting and of the point weighting, in the types of JSON.

        Without a point weighting there is no entry for it, as in records before there were any.
        """
        found = _described(self.weighting)
        if self.point_weighting is not None:
            found["point weights"] = _described(self.point_weighting)
        return found


def named(given: Iterable[StrategyGiven]) -> list[Strategy]:
    """The strategies with their names.

    The name of a weighting object is that of the preset that it is, or its class, with those
    parameters that differ from the defaults; so is that of a point weighting object.

    Args:
        given: Names, words like ``"dn:beta=0.9"``, weighting objects, and numbers by loss term: a
            list, a mapping from names, or words of them (``"1,100"``). For point weights, words
            like ``"dn:beta=0.9+rba"``, and pairs of a weighting and a point weighting, which are
            names, words or objects.

    Raises:
        ValueError: If there is no strategy, a name is unknown, two strategies are the same, one
            keeps the weights of a phase before, or a word does not have one strategy and at most
            one point weighting.
        TypeError: If a strategy is neither a text nor a weighting object nor such a pair.
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


def parameters(module: nn.Module | PointWeighting) -> dict[str, Any]:
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
    if isinstance(module, PointWeighting):
        return found | {k: v for k, v in module.hyperparameters.items() if isinstance(v, list)}
    for name, part in module.named_children():
        found[name] = type(part).__name__
        found |= {f"{name}.{key}": value for key, value in parameters(part).items()}
    return found


def _described(weighting: Weighting | PointWeighting) -> dict[str, Any]:
    return {"class": type(weighting).__name__, **parameters(weighting)}


def _strategy(given: StrategyGiven) -> Strategy:
    of_terms, of_points = _parts(given)
    weighting = own_numbers(of_terms) or weightings.get(of_terms)
    if isinstance(weighting, Keep):
        raise ValueError("'keep' keeps the weights of a phase before: a run has none.")
    if isinstance(weighting, OwnNumbers):
        name = weighting.word
    else:
        name = words.normalized(of_terms) if isinstance(of_terms, str) else _name(weighting)
    if of_points is None:
        return Strategy(name, weighting)
    rule = point_weightings.get(of_points)
    of_rule = words.normalized(of_points) if isinstance(of_points, str) else _name(rule)
    return Strategy(f"{name}+{of_rule}", weighting, rule)


def _parts(given: Any) -> tuple[Any, str | PointWeighting | None]:
    """The weighting and the point weighting of what a user gave for a strategy."""
    if isinstance(given, str):
        return _parts_of_word(given)
    if isinstance(given, PointWeighting):
        raise TypeError(
            f"strategies has the point weighting {type(given).__name__}, which is no weighting: "
            f"give it beside one, as in ('equal', {type(given).__name__}(...))."
        )
    if not isinstance(given, tuple) or own_numbers(given):
        return given, None
    if len(given) != 2:
        raise TypeError(
            f"strategies has {given!r}, which is not allowed: give a pair of a weighting and a "
            "point weighting, as in ('auto', 'rba')."
        )
    of_terms, of_points = given
    if not isinstance(of_points, (str, PointWeighting)) or isinstance(of_points, FixedPoints):
        raise TypeError(
            f"strategies has point weights of class {type(of_points).__name__}, which is not "
            "allowed beside a strategy: give a name or an object such as ddb.RBA(). An array, a "
            "function or a mapping goes into build's option compile, as point_weights."
        )
    if isinstance(of_terms, str) and len(words.split_points(of_terms)) > 1:
        raise ValueError(f"strategies has {given!r}, which has point weights twice: give one.")
    return of_terms, of_points


def _parts_of_word(word: str) -> tuple[str, str | None]:
    first, *points = words.split_points(word)
    if len(points) > 1:
        raise ValueError(
            f"{word!r} is not allowed: it has {len(points)} point weightings, a strategy takes "
            "one, as in 'auto+rba'."
        )
    if not first or any(part.endswith("+") for part in (first, *points)):
        raise ValueError(
            f"{word!r} is not allowed: write a strategy and its point weighting with a plus sign "
            "between them, as in 'auto+rba'."
        )
    name = words.plain_name(first.partition(":")[0])
    if name in point_weightings.names() and name not in weightings.names():
        raise ValueError(
            f"{word!r} is not allowed: {name} weighs points, so give it beside a strategy, as in "
            f"'equal+{name}'."
        )
    return first, points[0] if points else None


def _name(weighting: Weighting | PointWeighting) -> str:
    """The shortest word for a weighting object."""
    bases = _defaults(weighting)
    if not bases:  # all parameters are written out, but for those that are None
        unset = {name: None for name, value in parameters(weighting).items() if value is None}
        bases = {type(weighting).__name__: unset}
    found = [words.written(name, _differing(weighting, base)) for name, base in bases.items()]
    return min(found, key=lambda word: (word.count("="), word.count(":")))


def _defaults(weighting: Weighting | PointWeighting) -> dict[str, dict[str, Any]]:
    """The parameters, by name, of those presets that are of the same class.

    Where there is none, they are those of the class with its own defaults, if it has them all.
    """
    kind = type(weighting)
    if isinstance(weighting, PointWeighting):
        presets: dict[str, Any] = {
            name: point_weightings.get(name) for name in point_weightings.names()
        }
    else:
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


def _differing(of: nn.Module | PointWeighting, base: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that the base does not have.

    Those of a part that `of` does not take itself are in the part's word, as in
    ``average=ema:alpha=0.5``.
    """
    takes = inspect.signature(type(of)).parameters
    found: dict[str, Any] = {}
    for name, value in parameters(of).items():
        if name in base and base[name] == value:
            continue
        owner, _, own = name.partition(".")
        part = getattr(of, owner)
        word = None if own in takes else _word_of_part(part)
        if word is not None:
            found[owner] = word
        else:
            single = isinstance(value, list) and len(value) == 1
            found[name.rpartition(".")[2]] = value[0] if single else value
    return found


def _word_of_part(part: object) -> str | None:
    """The word of a part of a weighting; ``None`` for what goes by no name."""
    for name, kind in _PARTS.items():
        if isinstance(part, nn.Module) and type(part) is kind:
            word = words.written(name, _differing(part, parameters(kind())))
            return word.replace(",", ";")  # in the strategy's word, a comma ends the part's
    return None
