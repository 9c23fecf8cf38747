"""Benchmark problems, declared in DeepXDE, with their papers' settings.

Public are the names in `__all__`; the modules may change without notice.
"""

from __future__ import annotations

from typing import Any

from .._checks import text, unknown_name
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
    """The names of the problems.

    Example:
        >>> import deepxde_balance as ddb
        >>> ddb.problems.names()[:3]
        ['klein-gordon', 'klein-gordon-plain', 'wave']
    """
    return list(_BY_NAME)


def get(name: str, points: float = 1.0, iterations: int | None = None, **overrides: Any) -> Problem:
    """A benchmark problem.

    Args:
        name: One of :func:`names`, in upper or lower case, with ``-`` or ``_``.
        points: Factor on the paper's numbers of points.
        iterations: Iterations of Adam; ``None`` for the paper's number.
        **overrides: Other settings, see :class:`Settings`.

    Raises:
        ValueError: If the name is unknown, or a setting is not allowed.
        TypeError: If the name is no text, or there is no such setting.

    Example:
        >>> import deepxde_balance as ddb
        >>> problem = ddb.problems.get("helmholtz", points=0.05, update_every=100)
        >>> problem.settings.num_points
        {'residual': 1000, 'boundary': 5}
    """
    plain = text("name", name, "klein-gordon").strip().lower().replace("_", "-")
    if plain not in _BY_NAME:
        raise unknown_name("problem", name, _BY_NAME)
    return _BY_NAME[plain](points, iterations, **overrides)
