"""Places that hold values, and whether they still hold the same ones."""

from __future__ import annotations

import types
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import repeat
from operator import attrgetter, is_
from typing import Any

import numpy as np
import torch
from torch import Tensor

#: The types of immutable values that are compared by value.
PLAIN = (int, float, complex, bool, str, bytes, type(None))

#: Stands for a name that is not there.
MISSING = object()


class Place(ABC):
    """Something that holds values which code reads, as they were when the place was made."""

    #: Functions that give the objects that it holds now. While these are the same objects as
    #: before, nothing has changed. A place without such functions is to be asked itself.
    holds: tuple[Callable[[], Iterable[Any]], ...] = ()

    @abstractmethod
    def unchanged(self) -> bool:
        """Whether it holds the same values as then. It may raise where it can't be read now."""


class Names(Place):
    """Some names of a mapping.

    Args:
        mapping: The mapping: of globals, or of attributes.
        names: The names.
    """

    def __init__(self, mapping: Mapping[Any, Any], names: Iterable[Any]):
        self.holds = (partial(map, mapping.get, tuple(names), repeat(MISSING)),)
        self._values = tuple(self.holds[0]())

    def unchanged(self) -> bool:
        return _all_same(tuple(self.holds[0]()), self._values)


class Entries(Place):
    """All entries of a mapping, and their order.

    Args:
        mapping: The mapping.
        left_out: Names whose values may change.
    """

    def __init__(self, mapping: Mapping[Any, Any], left_out: frozenset[str] = frozenset()):
        self.holds = (mapping.keys, mapping.values)
        self._mapping = mapping
        self._keys = tuple(mapping)
        self._left_out = left_out & set(mapping)
        self._values = self._now()

    def unchanged(self) -> bool:
        return _all_same(tuple(self._mapping), self._keys) and _all_same(self._now(), self._values)

    def _now(self) -> tuple[Any, ...]:
        if not self._left_out:
            return tuple(self._mapping.values())
        return tuple(v for k, v in self._mapping.items() if k not in self._left_out)


class Items(Place):
    """The items of a list.

    Args:
        items: The list.
    """

    def __init__(self, items: list[Any]):
        self.holds = (items.copy,)
        self._items, self._values = items, tuple(items)

    def unchanged(self) -> bool:
        return _all_same(self._items, self._values)


class Attributes(Place):
    """Some attributes of an object: those of a function that say what it does, for example.

    Args:
        owner: The object.
        names: The attributes.
    """

    def __init__(self, owner: Any, names: Sequence[str]):
        # With two names at least, the getter gives a tuple.
        self.holds = (partial(attrgetter(*names, names[0]), owner),)
        self._values = tuple(self.holds[0]())

    def unchanged(self) -> bool:
        return _all_same(tuple(self.holds[0]()), self._values)


class Values(Place):
    """The values in an array of numbers.

    Args:
        array: The array.
    """

    def __init__(self, array: np.ndarray):
        self._array = array
        self._kind = (array.shape, array.dtype)
        self._bytes = array.tobytes()  # tells -0 from 0, and finds nan to be itself

    def unchanged(self) -> bool:
        array = self._array
        return (array.shape, array.dtype) == self._kind and array.tobytes() == self._bytes


class Memory(Place):
    """The memory of a tensor, not the values in it: a traced iteration reads those anew.

    Args:
        tensor: The tensor.
    """

    def __init__(self, tensor: Tensor):
        self._tensor, self._then = tensor, self._now(tensor)

    def unchanged(self) -> bool:
        return self._now(self._tensor) == self._then

    @staticmethod
    def _now(tensor: Tensor) -> tuple[Any, ...]:
        return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.requires_grad


class Defaults(Place):
    """PyTorch's settings that new tensors follow."""

    def __init__(self) -> None:
        self._then = self._now()

    def unchanged(self) -> bool:
        return self._now() == self._then

    @staticmethod
    def _now() -> tuple[Any, ...]:
        return torch.get_default_dtype(), torch.get_default_device()


def _all_same(now: Sequence[Any], then: Sequence[Any]) -> bool:
    if len(now) != len(then):
        return False
    if all(map(is_, now, then)):  # the usual case, and a fast one
        return True
    return all(map(_same, now, then))


def _same(now: Any, then: Any) -> bool:
    """Whether two values are the same object, or plain values that can't be told apart."""
    if now is then:
        return True
    if type(now) is not type(then):
        return False
    if isinstance(now, tuple):
        return type(now) is tuple and _all_same(now, then)
    if isinstance(now, types.MethodType):
        return now.__func__ is then.__func__ and now.__self__ is then.__self__
    # As text, for 0.0 == -0.0, and nan is not even equal to itself.
    return (type(now) in PLAIN or isinstance(now, np.number)) and repr(now) == repr(then)
