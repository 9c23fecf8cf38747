"""Fixed weights that a user gives for a strategy: numbers by loss term, as DeepXDE takes them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from .._checks import factor, is_number
from ..weightings import Fixed

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_LIST = re.compile(rf"{_NUMBER}(?:,{_NUMBER})*")
_MAPPING = re.compile(rf"[^=,:+]+={_NUMBER}(?:,[^=,:+]+={_NUMBER})*")


class OwnNumbers(Fixed):
    """Fixed weights of loss terms.

    Args:
        given: A list with a number for each loss term, or a mapping from names of terms to numbers.

    Raises:
        TypeError: If an entry is no number.
        ValueError: If one is negative or not finite, or there is none.
    """

    def __init__(self, given: Sequence[float] | Mapping[str, float]):
        entries = given.items() if isinstance(given, Mapping) else enumerate(given)
        numbers = [_checked(key, value) for key, value in entries]
        if not numbers:
            raise ValueError(f"strategies has {given!r}, which has no number.")
        super().__init__(numbers)
        #: As :meth:`deepxde_balance.Model.compile` takes them.
        self.loss_weights: list[float] | dict[str, float] = (
            dict(zip(given, numbers, strict=True)) if isinstance(given, Mapping) else numbers
        )

    @property
    def word(self) -> str:
        """The numbers in a word: ``"1,100"``, or ``"bc0=100"``."""
        if isinstance(self.loss_weights, dict):
            return ",".join(f"{name}={_text(value)}" for name, value in self.loss_weights.items())
        return ",".join(map(_text, self.loss_weights))


def own_numbers(given: Any) -> OwnNumbers | None:
    """The weights that a user gave as a list, a mapping or a word; ``None`` if it is none of them.

    Args:
        given: What was given for a strategy.

    Raises:
        TypeError, ValueError: As :class:`OwnNumbers`.
    """
    if isinstance(given, str):
        word = ",".join(part.strip() for part in given.split(","))
        if _LIST.fullmatch(word):
            return OwnNumbers([float(number) for number in word.split(",")])
        if _MAPPING.fullmatch(word):
            entries = [entry.split("=") for entry in word.split(",")]
            numbers = {name.strip(): float(number) for name, number in entries}
            if len(numbers) < len(entries):
                raise ValueError(f"strategies has {given!r}, which names a loss term twice.")
            return OwnNumbers(numbers)
        return None
    if isinstance(given, (np.ndarray, torch.Tensor)):
        given = given.tolist()
    if isinstance(given, Mapping):
        return OwnNumbers(given)
    if isinstance(given, (list, tuple)) and given and all(map(is_number, given)):
        return OwnNumbers(given)
    return None


def _text(value: float) -> str:
    """The shortest text that is read as the same number."""
    return min(repr(value), f"{value:g}", key=lambda text: (float(text) != value, len(text)))


def _checked(key: Any, value: Any) -> float:
    name = f"strategies: the weight [{key!r}]"
    if not is_number(value):
        raise TypeError(f"{name}={value!r} is not allowed: give a number.")
    return float(factor(name, value))
