"""Adaptive loss weights for physics-informed neural networks in DeepXDE.

import deepxde as dde
import deepxde_balance as ddb

model = ddb.Model(data, net)                                 # was dde.Model
model.compile("adam", lr=1e-3, loss_weights="db-kurtosis")   # was a list of numbers
"""

from ._backend import check_backend, choose_backend

choose_backend()
check_backend()

from . import problems, weightings  # noqa: E402 - only once the backend is known to be right
from .boundary import split_bc  # noqa: E402
from .callbacks import LossWeighting  # noqa: E402
from .checkpoint import CheckpointError  # noqa: E402
from .diagnosis import Diagnosis, diagnose  # noqa: E402
from .model import Model  # noqa: E402
from .monitor import GradientMonitor  # noqa: E402
from .progress import Progress  # noqa: E402
from .weightings import (  # noqa: E402
    DB,
    DN,
    EMA,
    GW,
    NTK,
    SA,
    BiasCorrectedEMA,
    ConFIG,
    EqualNorms,
    GeometricMean,
    GradientWeighting,
    GradNorm,
    ReLoBRaLo,
    RunningMean,
    SelfAdaptiveTerms,
    SoftAdapt,
    TorchJD,
    UncertaintyWeighting,
)

__version__ = "0.1.0"

__all__ = [
    "DB",
    "DN",
    "EMA",
    "GW",
    "NTK",
    "SA",
    "BiasCorrectedEMA",
    "CheckpointError",
    "ConFIG",
    "Diagnosis",
    "EqualNorms",
    "GeometricMean",
    "GradNorm",
    "GradientMonitor",
    "GradientWeighting",
    "LossWeighting",
    "Model",
    "Progress",
    "ReLoBRaLo",
    "RunningMean",
    "SelfAdaptiveTerms",
    "SoftAdapt",
    "TorchJD",
    "UncertaintyWeighting",
    "diagnose",
    "problems",
    "split_bc",
    "weightings",
]
