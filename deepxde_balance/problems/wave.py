"""The wave equation (Zhou et al. 2025, eqs. 10 and 11)."""

from __future__ import annotations

import deepxde as dde
import numpy as np
import torch

from .base import Problem
from .sampling import draw_from_grid, edge, space_time
from .settings import Settings


class Wave(Problem):
    """u_tt - 4 u_xx = 0 on [0, 1]^2 with u = sin(pi x) cos(2 pi t) + sin(4 pi x) cos(8 pi t) / 2.

    Terms: the residual; u at x = 0, x = 1 and t = 0 as one term (group "u"); u_t at t = 0 (group
    "ut").
    """

    name = "wave"
    paper = Settings(
        width=500,
        depth=5,
        num_points={"residual": 20000, "boundary": 1250, "initial": 2500},
        iterations=80000,
        decay_every=2000,
        decay_rate=0.9,
        update_every=50,
        gw_alpha=0.1,
    )
    groups = gw_groups = {"u": [0], "ut": [1]}
    drawn_from_grid = ["residual"]
    domain = ((0.0, 0.0), (1.0, 1.0))

    def solution(self, x: np.ndarray) -> np.ndarray:
        x, t = np.pi * x[:, 0:1], np.pi * x[:, 1:2]
        return np.sin(x) * np.cos(2 * t) + 0.5 * np.sin(4 * x) * np.cos(8 * t)

    def data(self, rng: np.random.Generator) -> dde.data.TimePDE:
        n = self.settings.num_points
        sides = [edge(0, side, 0, 1, n["boundary"]) for side in (0, 1)]
        start = edge(1, 0, 0, 1, n["initial"])
        known = np.concatenate([*sides, start])
        return dde.data.TimePDE(
            space_time(0, 1),
            residual,
            [
                dde.icbc.PointSetBC(known, self.solution(known)),
                dde.icbc.PointSetOperatorBC(start, np.zeros((len(start), 1)), velocity),
            ],
            anchors=draw_from_grid(rng, *self.domain, n["residual"]),
        )


def residual(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """u_tt - 4 u_xx at points x of shape (N, 2), columns x and t."""
    u_tt: torch.Tensor = dde.grad.hessian(u, x, i=1, j=1)
    u_xx: torch.Tensor = dde.grad.hessian(u, x, i=0, j=0)
    return u_tt - 4 * u_xx


def velocity(x: torch.Tensor, u: torch.Tensor, _: np.ndarray) -> torch.Tensor:
    """u_t at points x of shape (N, 2), columns x and t."""
    u_t: torch.Tensor = dde.grad.jacobian(u, x, i=0, j=1)
    return u_t
