"""The Poisson equation (Deguchi & Asai 2023, eqs. 31 to 33)."""

from __future__ import annotations

import deepxde as dde
import numpy as np
import torch

from .base import Problem
from .networks import DN_SETUP
from .sampling import draw_uniform, edge
from .settings import Settings

_OMEGA = 4 * np.pi


class Poisson(Problem):
    """u_xx + u_yy = q on [0, 1]^2 with u = cos(w x) sin(w y), w = 4 pi.

    Terms: the residual; u on the four sides as one term (group "bc"). The residual points are
    uniformly random; the paper does not say how it draws them.
    """

    name = "poisson"
    paper = Settings(
        width=50,
        depth=4,
        num_points={"residual": 2500, "boundary": 100},
        iterations=30000,
        update_every=10,
        gw_alpha=0.1,
    )
    groups = gw_groups = {"bc": [0]}
    domain = ((0.0, 0.0), (1.0, 1.0))
    network = DN_SETUP

    def solution(self, x: np.ndarray) -> np.ndarray:
        return np.cos(_OMEGA * x[:, 0:1]) * np.sin(_OMEGA * x[:, 1:2])

    def data(self, rng: np.random.Generator) -> dde.data.PDE:
        n = self.settings.num_points
        sides = [edge(axis, at, 0, 1, n["boundary"]) for axis in (0, 1) for at in (0, 1)]
        boundary = np.concatenate(sides)
        return dde.data.PDE(
            dde.geometry.Rectangle([0, 0], [1, 1]),
            residual,
            [dde.icbc.PointSetBC(boundary, self.solution(boundary))],
            anchors=draw_uniform(rng, *self.domain, n["residual"]),
        )


def residual(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """u_xx + u_yy - q at points x of shape (N, 2)."""
    u_xx: torch.Tensor = dde.grad.hessian(u, x, i=0, j=0)
    u_yy: torch.Tensor = dde.grad.hessian(u, x, i=1, j=1)
    exact = torch.cos(_OMEGA * x[:, 0:1]) * torch.sin(_OMEGA * x[:, 1:2])
    return u_xx + u_yy + 2 * _OMEGA**2 * exact
