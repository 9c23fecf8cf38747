"""Factors that put loss terms of other units into like ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

#: Terms are called in other units when their kernel traces differ by more than this factor. Those
#: of untrained networks are 1 to 1e5 in one system of units. The number is a convention.
OTHER_UNITS = 1e8


def apart(sizes: Iterable[float], factor: float) -> bool:
    """Whether sizes differ by more than a factor."""
    ordered = sorted(sizes)
    return bool(ordered) and ordered[-1] > factor * ordered[0]


def unit_factors(sizes: Mapping[str, float], limit: float) -> dict[str, float]:
    """Powers of ten by which the sizes of most others are reached.

    Args:
        sizes: A size of each term that has the square of its unit, by name; positive and finite.
        limit: Sizes that differ by less are of like units.

    Returns:
        The factors of the terms that are further from the others than the root of `limit`.
    """
    ordered = sorted(sizes.values())
    middle = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    common = min(middle, key=lambda size: abs(math.log10(size)))
    logs = {name: math.log10(common / size) for name, size in sizes.items()}
    half = math.log10(limit) / 2
    return {name: 10.0 ** round(log) for name, log in logs.items() if abs(log) > half}


def with_present(factors: Mapping[str, float], present: Mapping[str, float]) -> dict[str, float]:
    """Factors on losses that have static factors already, as one factor each.

    Args:
        factors: The further factors, by name.
        present: The static factors, by name.
    """
    names = [name for name, factor in present.items() if factor != 1 or name in factors]
    names += [name for name in factors if name not in present]
    return {name: factors.get(name, 1.0) * present.get(name, 1.0) for name in names}


def in_words(factors: Mapping[str, float]) -> str:
    """Factors as the argument `scale` takes them."""
    listed = ", ".join(f'"{name}": {factor:g}' for name, factor in factors.items())
    return f"scale={{{listed}}}"
