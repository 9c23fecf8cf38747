"""Laplace's equation on a square with four holes, by the method of fundamental solutions.

u = sum_j c_j log |x - y_j| + c_0, with sources y_j outside the domain: on a square around it and on
a circle in each hole. The equation holds whatever the c_j are; they are fitted by least squares to
the conditions. By the maximum principle the error inside is at most that on the boundary.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

HALF = 0.5
RADIUS = 0.1
CENTRES = [(0.3, 0.3), (-0.3, 0.3), (0.3, -0.3), (-0.3, -0.3)]

#: Bound on the error on the boundary, where u is 0 or 1.
ERROR = 1e-9

_SIDE = 64
_CIRCLE = 32
_OUTER = 0.66  # the solution continues to the reflected holes, which begin at 0.6
_INNER = 0.05


def exact(x: Tensor) -> Tensor:
    """u at points of shape (N, 2), shape (N, 1)."""
    sources, coefficients = (torch.as_tensor(a, dtype=x.dtype, device=x.device) for a in _fit())
    squares = x.square().sum(dim=1, keepdim=True) + sources.square().sum(dim=1) - 2 * x @ sources.T
    return 0.5 * torch.log(squares) @ coefficients[:-1] + coefficients[-1]


def boundary(per_side: int, per_circle: int) -> tuple[np.ndarray, np.ndarray]:
    """Points on the outer square and on the four circles, shapes (N, 2)."""
    return _square(HALF, per_side), _circles(RADIUS, per_circle)


@cache
def _fit() -> tuple[np.ndarray, np.ndarray]:
    """The sources, shape (M, 2), and the coefficients, c_0 last, shape (M + 1, 1)."""
    sources = np.concatenate([_square(_OUTER, _SIDE), _circles(_INNER, _CIRCLE)])
    outer, holes = boundary(3 * _SIDE, 3 * _CIRCLE)
    x = np.concatenate([outer, holes])
    values = np.concatenate([np.ones(len(outer)), np.zeros(len(holes))])
    distances = np.linalg.norm(x[:, None] - sources, axis=2)
    matrix = np.concatenate([np.log(distances), np.ones((len(x), 1))], axis=1)
    coefficients = np.linalg.lstsq(matrix, values[:, None], rcond=1e-14)[0]
    return sources, coefficients


def _square(half: float, per_side: int) -> np.ndarray:
    along = half * np.linspace(-1, 1, per_side, endpoint=False)
    across = np.full(per_side, half)
    sides = [(along, -across), (across, along), (-along, across), (-across, -along)]
    return np.concatenate([np.stack(side, axis=1) for side in sides])


def _circles(radius: float, count: int) -> np.ndarray:
    angle = 2 * np.pi * np.arange(count) / count
    circle = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.concatenate([circle + centre for centre in np.array(CENTRES)])
