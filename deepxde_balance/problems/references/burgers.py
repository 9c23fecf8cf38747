"""Burgers' equation from u = -sin(pi x), by the Cole-Hopf transformation."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.special import roots_hermite

#: Bound on the relative L2 error on -1 <= x <= 1, 0 <= t <= 1, see benchmarks/references.py.
ERROR = 1e-12

_NODES = 200
#: Number of points that are evaluated at a time.
_CHUNK = 4096


def cole_hopf(x: np.ndarray, viscosity: float, nodes: int = _NODES) -> np.ndarray:
    """Solves u_t + u u_x = viscosity u_xx on the real line, with u = -sin(pi x) at t = 0.

    With y = x - sqrt(4 viscosity t) z and f(y) = exp(-cos(pi y) / (2 pi viscosity)), u is the mean
    of -sin(pi y) over z with weight f(y) exp(-z^2) (Basdevant et al., Comput. Fluids 14 (1986),
    eq. 2.5). Gauss-Hermite quadrature evaluates the integrals. By symmetry u = 0 at x = -1 and at
    x = 1.

    Args:
        x: Points of shape (N, 2), columns x and t >= 0.
        viscosity: The viscosity, positive.
        nodes: Number of nodes of the quadrature.

    Returns:
        u of shape (N, 1).
    """
    z, log_weights = _rule(nodes)
    u = np.empty((len(x), 1))
    for start in range(0, len(x), _CHUNK):
        s, t = x[start : start + _CHUNK, 0:1], x[start : start + _CHUNK, 1:2]
        y = np.pi * (s - np.sqrt(4 * viscosity * t) * z)
        exponent = log_weights - np.cos(y) / (2 * np.pi * viscosity)
        # A common factor cancels in the mean, and exp can't overflow.
        exponent -= exponent.max(axis=1, keepdims=True)
        density = np.exp(exponent)
        mean = (density * np.sin(y)).sum(axis=1) / density.sum(axis=1)
        u[start : start + _CHUNK, 0] = -mean
    return u


@cache
def _rule(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """The nodes of the quadrature whose weight is not 0 in double precision, and log(weight)."""
    z, weights = roots_hermite(nodes)
    return z[weights > 0], np.log(weights[weights > 0])
