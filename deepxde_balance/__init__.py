"""Adaptive loss weights for physics-informed neural networks in DeepXDE.

import deepxde as dde
import deepxde_balance as ddb

model = ddb.Model(data, net)                                 # was dde.Model
model.compile("adam", lr=1e-3, loss_weights="auto")   # was a list of numbers

Public are the names in `__all__`, and those in the `__all__` of `deepxde_balance.weightings`,
`deepxde_balance.problems` and `deepxde_balance.plots`. Everything else, the other modules and
every name that begins with an underscore, may change without notice.
"""

# ruff: noqa: E402 - DeepXDE's backend is chosen and checked before anything imports DeepXDE.
from ._deepxde.backend import check_backend, choose_backend

choose_backend()
check_backend()

import deepxde as _dde

from ._deepxde.version import warn_if_untested

warn_if_untested(_dde.__version__)

from . import problems, weightings
from .callbacks.gradient_monitor import GradientMonitor
from .callbacks.loss_weighting import LossWeighting
from .callbacks.progress import Progress
from .callbacks.save_on_sigterm import SaveOnSigterm
from .checkpoints.checkpoint import CheckpointError
from .checkpoints.last import last_checkpoint
from .diagnostics.diagnose import Diagnosis, diagnose
from .experiments.compare import compare
from .experiments.comparison import Comparison
from .experiments.tune import tune
from .experiments.tuned import Tuned
from .model import Model
from .point_weightings import BRDR, RBA, Causal, FixedPoints, PointWeighting
from .ranks import RanksError, distributed
from .terms.split_bc import split_bc
from .weightings import (
    CAPU,
    DB,
    DN,
    EMA,
    GW,
    NTK,
    SA,
    Auto,
    BiasCorrectedEMA,
    ConFIG,
    EqualNorms,
    FromGradients,
    FromLosses,
    GeometricMean,
    GradientWeighting,
    GradNorm,
    Growth,
    Guard,
    Release,
    ReLoBRaLo,
    RunningMean,
    SelfAdaptiveTerms,
    SoftAdapt,
    TorchJD,
    UncertaintyWeighting,
    register,
)

__version__ = "0.2.0.dev0"

__all__ = [
    "BRDR",
    "CAPU",
    "DB",
    "DN",
    "EMA",
    "GW",
    "NTK",
    "RBA",
    "SA",
    "Auto",
    "BiasCorrectedEMA",
    "Causal",
    "CheckpointError",
    "Comparison",
    "ConFIG",
    "Diagnosis",
    "EqualNorms",
    "FixedPoints",
    "FromGradients",
    "FromLosses",
    "GeometricMean",
    "GradNorm",
    "GradientMonitor",
    "GradientWeighting",
    "Growth",
    "Guard",
    "LossWeighting",
    "Model",
    "PointWeighting",
    "Progress",
    "RanksError",
    "ReLoBRaLo",
    "Release",
    "RunningMean",
    "SaveOnSigterm",
    "SelfAdaptiveTerms",
    "SoftAdapt",
    "TorchJD",
    "Tuned",
    "UncertaintyWeighting",
    "compare",
    "diagnose",
    "distributed",
    "last_checkpoint",
    "problems",
    "register",
    "split_bc",
    "tune",
    "weightings",
]


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
