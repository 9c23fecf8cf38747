"""The point weightings: weights within a loss term, one per point; one file for each rule."""

from __future__ import annotations

from .base import PointWeighting
from .brdr import BRDR
from .causal import Causal
from .fixed import FixedPoints
from .rba import RBA
from .registry import PointWeightingName, get, names
from .self_adaptive import SelfAdaptive

__all__ = [
    "BRDR",
    "RBA",
    "Causal",
    "FixedPoints",
    "PointWeighting",
    "PointWeightingName",
    "SelfAdaptive",
    "get",
    "names",
]
