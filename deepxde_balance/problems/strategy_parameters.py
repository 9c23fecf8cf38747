"""The parameters that a strategy gets from the settings of the problem."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from .. import weightings
from ..weightings import DB, GW, GradientWeighting, StrategyName

#: GW, DN and DB, the strategies of the benchmark problems' papers: their classes by name.
_PAPERS: Mapping[str, type[GradientWeighting]] = {
    name: type(weighting)
    for name, weighting in ((name, weightings.get(name)) for name in get_args(StrategyName))
    if isinstance(weighting, GradientWeighting)
}


def is_papers(name: str) -> bool:
    """Whether a strategy is GW, DN or DB, for which the settings of a problem are meant."""
    return name in _PAPERS


def from_settings(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that a strategy gets from the settings of a problem.

    They are `update_every` for GW, DN and DB, the `gw_alpha` for GW, and the running mean for DB.
    Other strategies get none, see :meth:`Problem.full_word`.

    Args:
        name: The strategy, as in :func:`deepxde_balance.weightings.names`.
        settings: The settings by name.
    """
    kind = _PAPERS.get(name)
    parameters: dict[str, Any] = {}
    if kind is not None:
        parameters["update_every"] = settings["update_every"]
    if kind is GW:
        parameters["alpha"] = settings["gw_alpha"]
    if kind is DB:
        parameters["average"] = "running-mean"
    return parameters
