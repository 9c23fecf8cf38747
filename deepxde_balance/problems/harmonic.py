"""The harmonic oscillator, which fails with equal weights."""

from __future__ import annotations

import deepxde as dde
import numpy as np
import torch

from .base import Problem
from .sampling import draw_uniform
from .settings import Settings

_OMEGA = 2 * np.pi


class Harmonic(Problem):
    """u'' + w^2 u = 0 on 0 < t < 1 with u(0) = 1, u'(0) = 0: u = cos(w t), w = 2 pi.

    With equal weights, the residual pulls the network to u = 0, which solves the equation but not
    the initial conditions.

    Terms: the residual; u and u' at t = 0 (group "ic"). The two conditions share a weight. Each is
    at one point, which the network will meet exactly at some time, and a weight of its own would
    then grow without bound.

    The equation, the group and the number of iterations are from a lesson on loss balancing;
    frequency, interval, network, points, `update_every` and `gw_alpha` are our choice.
    """

    name = "harmonic"
    paper = Settings(
        width=32,
        depth=3,
        num_points={"residual": 100},
        iterations=2000,
        update_every=100,
        gw_alpha=0.1,
    )
    groups = gw_groups = {"ic": [0, 1]}
    domain = ((0.0,), (1.0,))

    def solution(self, x: np.ndarray) -> np.ndarray:
        return np.cos(_OMEGA * x)

    def data(self, rng: np.random.Generator) -> dde.data.PDE:
        geometry = dde.geometry.TimeDomain(*self.domain[0], *self.domain[1])
        start = np.zeros((1, 1))
        return dde.data.PDE(
            geometry,
            residual,
            [
                dde.icbc.PointSetBC(start, np.ones((1, 1))),
                dde.icbc.PointSetOperatorBC(start, np.zeros((1, 1)), velocity),
            ],
            anchors=draw_uniform(rng, *self.domain, self.settings.num_points["residual"]),
        )


def residual(t: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """u'' + w^2 u at times t of shape (N, 1)."""
    u_tt: torch.Tensor = dde.grad.hessian(u, t)
    return u_tt + _OMEGA**2 * u


def velocity(t: torch.Tensor, u: torch.Tensor, _: np.ndarray) -> torch.Tensor:
    """u' at times t of shape (N, 1)."""
    u_t: torch.Tensor = dde.grad.jacobian(u, t)
    return u_t
