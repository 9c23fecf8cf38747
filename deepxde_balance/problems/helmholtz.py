"""The Helmholtz equation, for inner-balancing (Zhou et al. 2025, eqs. 12 to 14)."""

from __future__ import annotations

import deepxde as dde
import numpy as np
import torch

from .base import Problem
from .sampling import draw_from_grid, edge
from .settings import Settings


class Helmholtz(Problem):
    """u_xx + u_yy + u = q on [-1, 1]^2 with u = sin(pi x) sin(4 pi y).

    Terms: the residual; u on each of the four sides. All conditions are of one type, so
    inner-balancing splits them into the x-sides (group "x") and the y-sides (group "y"). GW has
    one group of all four ("bc").
    """

    name = "helmholtz"
    paper = Settings(
        width=50,
        depth=4,
        num_points={"residual": 20000, "boundary": 100},
        iterations=30000,
        decay_every=10000,
        decay_rate=0.1,
        update_every=10,
        gw_alpha=0.5,
    )
    groups = {"x": [0, 1], "y": [2, 3]}
    gw_groups = {"bc": [0, 1, 2, 3]}
    drawn_from_grid = ["residual"]
    domain = ((-1.0, -1.0), (1.0, 1.0))

    def solution(self, x: np.ndarray) -> np.ndarray:
        return np.sin(np.pi * x[:, 0:1]) * np.sin(4 * np.pi * x[:, 1:2])

    def data(self, rng: np.random.Generator) -> dde.data.PDE:
        n = self.settings.num_points
        sides = [edge(axis, at, -1, 1, n["boundary"]) for axis in (0, 1) for at in (-1, 1)]
        return dde.data.PDE(
            dde.geometry.Rectangle([-1, -1], [1, 1]),
            residual,
            [dde.icbc.PointSetBC(side, np.zeros((len(side), 1))) for side in sides],
            anchors=draw_from_grid(rng, *self.domain, n["residual"]),
        )


def residual(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """u_xx + u_yy + u - q at points x of shape (N, 2)."""
    u_xx: torch.Tensor = dde.grad.hessian(u, x, i=0, j=0)
    u_yy: torch.Tensor = dde.grad.hessian(u, x, i=1, j=1)
    exact = torch.sin(torch.pi * x[:, 0:1]) * torch.sin(4 * torch.pi * x[:, 1:2])
    return u_xx + u_yy + u - (1 - 17 * torch.pi**2) * exact
