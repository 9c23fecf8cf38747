"""Benchmark problems, declared in DeepXDE, with their papers' settings."""

from __future__ import annotations

from typing import Any

from .._checks import unknown_name
from .allen_cahn import AllenCahn, AllenCahnDN
from .base import Problem
from .burgers import Burgers, BurgersInverse
from .harmonic import Harmonic
from .helmholtz import Helmholtz
from .klein_gordon import KleinGordon, PlainKleinGordon
from .navier_stokes import NavierStokes
from .poisson import Poisson
from .settings import Settings
from .wave import Wave

__all__ = ["Problem", "Settings", "get", "names"]

_PROBLEMS: tuple[type[Problem], ...] = (
    KleinGordon,
    PlainKleinGordon,
    Wave,
    Helmholtz,
    AllenCahn,
    BurgersInverse,
    NavierStokes,
    Burgers,
    Poisson,
    AllenCahnDN,
    Harmonic,
)
_BY_NAME = {problem.name: problem for problem in _PROBLEMS}


def names() -> list[str]:
    """The names of the problems."""
    return list(_BY_NAME)


def get(name: str, points: float = 1.0, iterations: int | None = None, **overrides: Any) -> Problem:
    """A benchmark problem.

    Args:
        name: One of :func:`names`, case-blind, with ``-`` or ``_``.
        points: Factor on its paper's numbers of points.
        iterations: Iterations of Adam; ``None`` for the paper's.
        **overrides: Other settings, see :class:`Settings`.

    Raises:
        ValueError: If the name is unknown, or a setting is not allowed.
        TypeError: If there is no such setting.
    """
    plain = name.strip().lower().replace("_", "-")
    if plain not in _BY_NAME:
        raise unknown_name("problem", name, _BY_NAME)
    return _BY_NAME[plain](points, iterations, **overrides)
