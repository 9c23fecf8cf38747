"""The registry: strategies by name, the package's own and those that a user adds."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from functools import partial
from types import FunctionType
from typing import Any, Literal

from .._checks import check_parameters, text, unknown_name
from . import words
from .auto import Auto
from .base import Keep, Weighting
from .capu import CAPU
from .conflict_free import ConFIG
from .equal_norms import EqualNorms
from .fixed import Equal
from .gradient import DB, DN, GW
from .gradnorm import GradNorm
from .ntk import NTK
from .per_point import SA
from .relobralo import ReLoBRaLo
from .self_adaptive import SelfAdaptiveTerms
from .softadapt import SoftAdapt
from .uncertainty import UncertaintyWeighting

#: The names of the presets and their aliases, for editors and type checkers.
StrategyName = Literal[
    "auto",
    "equal",
    "keep",
    "gw-mean",
    "gw-std",
    "gw-kurtosis",
    "dn",
    "dn-l1",
    "dn-linf",
    "db-mean",
    "db-std",
    "db-kurtosis",
    "db-norm",
    "uw",
    "sa",
    "sa-term",
    "ntk",
    "ntk-exact",
    "grad-norm",
    "gradnorm",
    "relobralo",
    "softadapt",
    "capu",
    "config",
    "ma",
    "lra",
    "id",
    "dn-l2",
]

Factory = Callable[..., Weighting]

_PRESETS: dict[str, Factory] = {
    "auto": Auto,
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
    "capu": CAPU,
    "config": ConFIG,
}

_REGISTERED: dict[str, Factory] = {}


def names() -> list[str]:
    """The names of the strategies, without aliases; those that a user registered come last.

    Example:
        >>> import deepxde_balance as ddb
        >>> ddb.weightings.names()[:4]
        ['auto', 'equal', 'keep', 'gw-mean']
    """
    return [*_PRESETS, *_REGISTERED]


def canonical(name: str) -> str:
    """The name of a strategy as it is written in :func:`names`.

    Args:
        name: A name or an alias (``"ma"``, ``"lra"``, ``"id"``, ``"dn-l2"``), in upper or lower
            case, with ``-`` or ``_``.

    Raises:
        ValueError: If the name is unknown; the message lists the known names and the closest.
        TypeError: If `name` is no text.

    Example:
        >>> import deepxde_balance as ddb
        >>> ddb.weightings.canonical("LRA")
        'gw-mean'
    """
    plain = words.plain_name(text("name", name, "auto"))
    if plain not in names():
        raise unknown_name("strategy", name, [*names(), *words.ALIASES])
    return plain


def register(name: str, factory: Factory) -> None:
    """Gives a strategy of your own a name.

    In this process, the name then works wherever a name of :func:`names` does: in
    ``compile(loss_weights=...)``, in ``LossWeighting`` and on the command line, with parameters
    too (``"mine:alpha=0.5"``). The worker processes of ``compare --jobs 2`` do not know it.

    A script or a notebook cell may be run again: the same factory, or a class or function that
    was defined anew under its old name, replaces the registered one.

    Args:
        name: A word in lower case, or several joined by hyphens.
        factory: A class or function that returns a new :class:`Weighting`. Its arguments are the
            strategy's parameters.

    Raises:
        ValueError: If `name` is not such a word, or is the name of another strategy.
        TypeError: If `name` is not a text, or `factory` is a weighting object or
            can't be called.

    Example:
        >>> import deepxde_balance as ddb
        >>> def kurtosis_share(alpha=0.1, update_every=100):
        ...     average = ddb.EMA(alpha)
        ...     return ddb.GradientWeighting("kurtosis", "average", average, update_every)
        >>> ddb.register("kurtosis-share", kurtosis_share)
        >>> ddb.weightings.get("kurtosis-share:alpha=0.5").average
        EMA(alpha=0.5)
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", text("name", name, "my-rule")):
        raise ValueError(
            f"name={name!r} is not allowed: give a word of lower-case letters and digits, or "
            "several with hyphens between them, e.g. 'my-rule'."
        )
    if not callable(factory) or isinstance(factory, Weighting):  # a module of PyTorch can be called
        raise TypeError(
            f"factory={factory!r} is not allowed: give a class or a function that makes a "
            "weighting."
        )
    if name in _PRESETS or name in words.ALIASES:
        raise ValueError(f"name={name!r} is taken by a strategy of the package: give another.")
    if name in _REGISTERED and not _same_definition(_REGISTERED[name], factory):
        raise ValueError(f"name={name!r} is taken by {_REGISTERED[name]!r}: give another.")
    _REGISTERED[name] = factory


def get(weighting: str | Weighting, **parameters: Any) -> Weighting:
    """A new weighting of a strategy; a :class:`Weighting` is returned as it is.

    Args:
        weighting: The name or alias of a strategy, see :func:`canonical`; or a word, which is a
            name with parameters, such as ``"dn:beta=0.9,update_every=10"``; or a
            :class:`Weighting`.
        **parameters: More of the strategy's parameters, e.g. ``update_every=10``. They are not
            allowed with a :class:`Weighting`.

    Raises:
        ValueError: If the name is unknown, the word can't be read, or a parameter is given twice.
        TypeError: If `weighting` is neither a text nor a :class:`Weighting`, or the strategy has
            no such parameter.

    Example:
        >>> import deepxde_balance as ddb
        >>> ddb.weightings.get("dn:beta=0.9", update_every=5).average
        BiasCorrectedEMA(beta=0.9)
    """
    if isinstance(weighting, str):
        words.check_alone(weighting)
        canonical(weighting.partition(":")[0])  # an unknown name is reported before bad parameters
        made = _make(*words.parse(weighting, **parameters))
        made._word = None if parameters else words.normalized(weighting)
        return made
    if not isinstance(weighting, Weighting):
        raise TypeError(
            f"{weighting!r} is no weighting: give the name of a strategy "
            f"({', '.join(names())}) or a weighting object."
        )
    if parameters:
        raise TypeError(f"{', '.join(parameters)}: parameters go with a name, not with an object.")
    return weighting


def defaults(name: str) -> dict[str, Any]:
    """The parameters of a strategy that have a default, and the defaults.

    Args:
        name: A name as :func:`canonical` gives it.
    """
    takes = inspect.signature((_PRESETS | _REGISTERED)[name]).parameters.values()
    return {p.name: p.default for p in takes if p.default is not p.empty}


def _make(name: str, parameters: dict[str, Any]) -> Weighting:
    factory = (_PRESETS | _REGISTERED)[name]
    check_parameters("strategy", name, factory, parameters)
    made = factory(**parameters)
    if not isinstance(made, Weighting):
        raise TypeError(
            f"The strategy {name!r} was registered with {factory!r}, which made "
            f"{made!r}: it must make a weighting object."
        )
    return made


def _same_definition(old: Factory, new: Factory) -> bool:
    """Whether `new` is `old`, or was defined when the same lines of a script were run again."""
    if old is new:
        return True
    if not all(isinstance(factory, (type, FunctionType)) for factory in (old, new)):
        return False
    same_name = (old.__module__, old.__qualname__) == (new.__module__, new.__qualname__)
    return same_name and "<" not in new.__qualname__  # lambdas and local functions share names
