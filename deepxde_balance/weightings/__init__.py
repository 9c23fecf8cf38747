"""The weightings: one file for each strategy, and the registry of their names.

Public are the names in `__all__`; the modules may change without notice.

GW, DN and DB (:mod:`~deepxde_balance.weightings.gradient`) combine a statistic, an allocation and
an average, which have a file each. :mod:`~deepxde_balance.weightings.words` reads texts such as
``"dn:beta=0.9"``.
"""

from __future__ import annotations

from .allocations import AllocationName
from .auto import Auto
from .averages import EMA, Average, AverageName, BiasCorrectedEMA, GeometricMean, RunningMean
from .base import Keep, Weighting
from .capu import CAPU
from .conflict_free import ConFIG
from .equal_norms import EqualNorms
from .fixed import Equal, Fixed
from .gradient import DB, DN, GW, GradientWeighting
from .gradnorm import GradNorm
from .guards import Growth, Guard, GuardName, Release
from .kinds import FromGradients, FromLosses
from .ntk import NTK
from .per_point import SA
from .registry import StrategyName, canonical, get, names, register
from .relobralo import ReLoBRaLo
from .self_adaptive import SelfAdaptiveTerms
from .softadapt import SoftAdapt
from .statistics import StatisticName
from .torchjd import TorchJD
from .uncertainty import UncertaintyWeighting

__all__ = [
    "CAPU",
    "DB",
    "DN",
    "EMA",
    "GW",
    "NTK",
    "SA",
    "AllocationName",
    "Auto",
    "Average",
    "AverageName",
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
    "Growth",
    "Guard",
    "GuardName",
    "Keep",
    "ReLoBRaLo",
    "Release",
    "RunningMean",
    "SelfAdaptiveTerms",
    "SoftAdapt",
    "StatisticName",
    "StrategyName",
    "TorchJD",
    "UncertaintyWeighting",
    "Weighting",
    "canonical",
    "get",
    "names",
    "register",
]
