"""What a search looks through: fixed weights, or a strategy's options."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .. import weightings
from .._checks import unknown_name
from ..terms.groups import TermGroups
from ..weightings import Fixed, words
from ..weightings.registry import defaults
from .dimensions import Choice, Dimension, dimension
from .strategies import Strategy, named, parameters

#: The value of each dimension by its name.
Point = Mapping[str, Any]

#: What a user gives: ranges by group, or a strategy and ranges by option.
Space = Mapping[str, Any] | tuple[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class SearchSpace(ABC):
    """Points, each of which stands for a strategy.

    Args:
        dimensions: The dimensions.
    """

    dimensions: Sequence[Dimension]

    @property
    @abstractmethod
    def strategy_name(self) -> str:
        """The word of what is searched."""

    @property
    @abstractmethod
    def usual(self) -> Mapping[str, Any]:
        """The values that a user has without a search, as far as they are known."""

    @abstractmethod
    def strategy(self, point: Point) -> Strategy:
        """The strategy of a point.

        Raises:
            ValueError, TypeError: If the strategy does not take the values.
        """

    @abstractmethod
    def loss_weights(self, point: Point) -> str | list[float]:
        """What a user gives to `compile` for a point."""

    @property
    def start(self) -> Point | None:
        """The :attr:`usual` values as a point; ``None`` where they are not in the space."""
        usual = self.usual
        inside = all(d.name in usual and usual[d.name] in d for d in self.dimensions)
        return {d.name: usual[d.name] for d in self.dimensions} if inside else None

    @property
    def corners(self) -> Iterator[Point]:
        """Points with each lowest, each highest value and each choice."""
        lowest = {d.name: d.corners[0] for d in self.dimensions}
        yield lowest
        for one in self.dimensions:
            for value in one.corners[1:]:
                yield {**lowest, one.name: value}

    @property
    def identity(self) -> dict[str, Any]:
        """What tells this space from others, in the types of JSON."""
        described = {}
        for one in self.dimensions:
            entries = dataclasses.asdict(one)
            name = entries.pop("name")
            described[name] = {key: repr(value) for key, value in entries.items()}
        return {"strategy": self.strategy_name, "space": described}


@dataclasses.dataclass(frozen=True)
class FixedWeights(SearchSpace):
    """Fixed weights of groups of loss terms; a group without a dimension has weight 1.

    Args:
        dimensions: The dimensions.
        groups: The groups.
    """

    groups: TermGroups

    @property
    def strategy_name(self) -> str:
        return "fixed"

    @property
    def usual(self) -> Mapping[str, Any]:
        return {one.name: 1 for one in self.dimensions}

    def strategy(self, point: Point) -> Strategy:
        weights = Fixed([float(point.get(name, 1)) for name in self.groups.names])
        return Strategy(words.written(self.strategy_name, point), weights)

    def loss_weights(self, point: Point) -> list[float]:
        """The weights as DeepXDE takes them, one for each loss term."""
        weights = [1.0] * len(self.groups.terms)
        for name, members in zip(self.groups.names, self.groups.members, strict=True):
            for i in members:
                weights[i] = float(point.get(name, 1))
        return weights


@dataclasses.dataclass(frozen=True)
class StrategyOptions(SearchSpace):
    """Options of a strategy.

    Args:
        dimensions: The dimensions.
        word: The strategy, perhaps with other parameters: ``"dn:update_every=5"``.
    """

    word: str

    @property
    def strategy_name(self) -> str:
        return words.normalized(self.word)

    @property
    def usual(self) -> Mapping[str, Any]:
        usual = _defaults(self.word)
        own = parameters(weightings.get(self.word))
        for one in self.dimensions:
            if one.name in usual and usual[one.name] in one:
                continue
            for value in one.values if isinstance(one, Choice) else ():
                if parameters(weightings.get(self.word, **{one.name: value})) == own:
                    usual[one.name] = value  # a text that stands for the strategy's own object
        return usual

    def strategy(self, point: Point) -> Strategy:
        (strategy,) = named([self.loss_weights(point)])
        return strategy

    def loss_weights(self, point: Point) -> str:
        return words.written(*words.parse(self.word, **point))


def read_space(space: Space, groups: TermGroups) -> SearchSpace:
    """The search space that a user gave.

    Args:
        space: See :func:`deepxde_balance.tune`.
        groups: The groups of the problem's loss terms.

    Raises:
        TypeError: If it is no space, or a strategy has no such option.
        ValueError: If it is empty, a range is not allowed, or a group or a strategy is unknown.
    """
    if isinstance(space, Mapping):
        found: SearchSpace = _fixed_weights(space, groups)
    elif (
        isinstance(space, (tuple, list))
        and len(space) == 2
        and isinstance(space[0], str)
        and isinstance(space[1], Mapping)
    ):
        found = _strategy_options(*space)
    else:
        raise TypeError(
            f"space={space!r} is not allowed: give ranges of weights by group, e.g. "
            '{"bc0": (1, 1e4)}, or a strategy and ranges of its options, e.g. '
            '("dn", {"beta": (0.5, 0.999)}).'
        )
    for corner in found.corners:
        found.strategy(corner)
    return found


def _fixed_weights(space: Mapping[str, Any], groups: TermGroups) -> FixedWeights:
    _check_names(space)
    for name in space:
        if name not in groups.names:
            raise unknown_name("group in space", name, groups.names)
    dimensions = [dimension(name, given, log=True, real=True) for name, given in space.items()]
    for one in dimensions:
        for weight in one.values if isinstance(one, Choice) else [one.low]:
            _check_weight(one.name, weight)
    return FixedWeights(dimensions, groups)


def _strategy_options(word: str, options: Mapping[str, Any]) -> StrategyOptions:
    _check_names(options)
    strategy, *points = words.split_points(word)
    if points:
        raise ValueError(
            f"space has the strategy {word!r}, which is not allowed: give {strategy!r}, and "
            f"{{'compile': {{'point_weights': {'+'.join(points)!r}}}}} among the options of build."
        )
    usual = _defaults(word)
    return StrategyOptions(
        [
            dimension(name, given, real=isinstance(usual.get(name), float))
            for name, given in options.items()
        ],
        word,
    )


def _defaults(word: str) -> dict[str, Any]:
    """The parameters of a strategy's word: those written in it, else their defaults."""
    weightings.get(word)  # tells what is wrong with it
    name, written = words.parse(word)
    return defaults(name) | written


def _check_names(space: Mapping[str, Any]) -> None:
    if not space:
        raise ValueError(
            'space is empty: give ranges, e.g. {"bc0": (1, 1e4)} or ("dn", {"beta": (0.5, 0.999)}).'
        )
    for name in space:
        if not isinstance(name, str):
            raise TypeError(f"space has the key {name!r}, which is not allowed: give a name.")


def _check_weight(name: str, weight: Any) -> None:
    if isinstance(weight, (str, bool)) or weight is None or not 0 <= weight < float("inf"):
        raise ValueError(
            f"space[{name!r}] has the weight {weight!r}, which is not allowed: weights are finite "
            "numbers of at least 0."
        )
