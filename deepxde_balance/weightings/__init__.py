"""The weightings: one strategy a file, and the registry of their names."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any

from .._checks import unknown_name
from .averages import EMA, Average, BiasCorrectedEMA, GeometricMean, RunningMean
from .base import FromGradients, FromLosses, Keep, Weighting
from .conflict_free import ConFIG
from .equal_norms import EqualNorms
from .fixed import Equal, Fixed
from .gradient import DB, DN, GW, GradientWeighting
from .gradnorm import GradNorm
from .ntk import NTK
from .per_point import SA
from .relobralo import ReLoBRaLo
from .self_adaptive import SelfAdaptiveTerms
from .softadapt import SoftAdapt
from .torchjd import TorchJD
from .uncertainty import UncertaintyWeighting

__all__ = [
    "DB",
    "DN",
    "EMA",
    "GW",
    "NTK",
    "SA",
    "Average",
    "BiasCorrectedEMA",
    "ConFIG",
    "Equal",
    "EqualNorms",
    "Fixed",
    "FromGradients",
    "FromLosses",
    "GeometricMean",
    "GradNorm",
    "GradientWeighting",
    "Keep",
    "ReLoBRaLo",
    "RunningMean",
    "SelfAdaptiveTerms",
    "SoftAdapt",
    "TorchJD",
    "UncertaintyWeighting",
    "Weighting",
    "canonical",
    "get",
    "names",
]

_PRESETS: dict[str, Callable[..., Weighting]] = {
    "equal": Equal,
    "keep": Keep,
    "gw-mean": partial(GW, "mean"),
    "gw-std": partial(GW, "std"),
    "gw-kurtosis": partial(GW, "kurtosis"),
    "dn": DN,
    "dn-l1": partial(DN, p=1),
    "dn-linf": partial(DN, p=math.inf),
    "db-mean": partial(DB, "mean"),
    "db-std": partial(DB, "std"),
    "db-kurtosis": partial(DB, "kurtosis"),
    "db-norm": partial(DB, "norm"),
    "uw": UncertaintyWeighting,
    "sa": SA,
    "sa-term": SelfAdaptiveTerms,
    "ntk": NTK,
    "ntk-exact": partial(NTK, exact=True),
    "grad-norm": EqualNorms,
    "gradnorm": GradNorm,
    "relobralo": ReLoBRaLo,
    "softadapt": SoftAdapt,
    "config": ConFIG,
}

_ALIASES = {"ma": "gw-mean", "lra": "gw-mean", "id": "gw-std", "dn-l2": "dn"}


def names() -> list[str]:
    """The names of the strategies, without aliases."""
    return list(_PRESETS)


def canonical(name: str) -> str:
    """The name of a strategy as :func:`names` has it.

    Args:
        name: A name or an alias (``"ma"``, ``"lra"``, ``"id"``, ``"dn-l2"``), case-blind, with
            ``-`` or ``_``.

    Raises:
        ValueError: If the name is unknown; the message lists the known ones and the closest.
    """
    plain = name.strip().lower().replace("_", "-")
    plain = _ALIASES.get(plain, plain)
    if plain not in _PRESETS:
        raise unknown_name("strategy", name, [*_PRESETS, *_ALIASES])
    return plain


def get(weighting: str | Weighting, **parameters: Any) -> Weighting:
    """A weighting from its name, or itself.

    Args:
        weighting: A name or an alias, see :func:`canonical`; or a :class:`Weighting`.
        **parameters: The preset's parameters, with a name only, e.g. ``update_every=10``.

    Raises:
        ValueError: If the name is unknown.
        TypeError: If `weighting` is neither a name nor a :class:`Weighting`, or the preset has
            no such parameter.
    """
    if isinstance(weighting, str):
        name = canonical(weighting)
        allowed = inspect.signature(_PRESETS[name]).parameters
        for parameter in parameters:
            if parameter not in allowed:
                takes = f"it takes {', '.join(allowed)}" if allowed else "it takes none"
                raise TypeError(f"The strategy {name!r} has no parameter {parameter!r}: {takes}.")
        return _PRESETS[name](**parameters)
    if not isinstance(weighting, Weighting):
        raise TypeError(
            f"{weighting!r} is no weighting: give the name of a strategy "
            f"({', '.join(names())}) or a weighting object."
        )
    if parameters:
        raise TypeError(f"{', '.join(parameters)}: parameters go with a name, not with an object.")
    return weighting
