"""The Klein-Gordon equation (Zhou et al. 2025, eq. 9)."""

from __future__ import annotations

import deepxde as dde
import numpy as np
import torch

from .base import Problem
from .networks import PLAIN_SETUP
from .sampling import draw_from_grid, edge, space_time
from .settings import Settings


class KleinGordon(Problem):
    """u_tt - u_xx + u^3 = f on [0, 1]^2 with u = x cos(5 pi t) + (x t)^3.

    Terms: the residual; u at x = 0 and at x = 1 (group "bc"); u and u_t at t = 0 (group "ic").
    """

    name = "klein-gordon"
    paper = Settings(
        width=50,
        depth=3,
        num_points={"residual": 10000, "boundary": 1000, "initial": 1000},
        iterations=20000,
        decay_every=10000,
        decay_rate=0.1,
        update_every=100,
        gw_alpha=0.5,
    )
    groups = gw_groups = {"bc": [0, 1], "ic": [2, 3]}
    drawn_from_grid = ["residual"]
    domain = ((0.0, 0.0), (1.0, 1.0))

    def solution(self, x: np.ndarray) -> np.ndarray:
        x, t = x[:, 0:1], x[:, 1:2]
        u: np.ndarray = x * np.cos(5 * np.pi * t) + (x * t) ** 3
        return u

    def data(self, rng: np.random.Generator) -> dde.data.TimePDE:
        n = self.settings.num_points
        left, right = (edge(0, side, 0, 1, n["boundary"]) for side in (0, 1))
        start = edge(1, 0, 0, 1, n["initial"])
        return dde.data.TimePDE(
            space_time(0, 1),
            residual,
            [
                dde.icbc.PointSetBC(left, self.solution(left)),
                dde.icbc.PointSetBC(right, self.solution(right)),
                dde.icbc.PointSetBC(start, self.solution(start)),
                dde.icbc.PointSetOperatorBC(start, np.zeros((len(start), 1)), velocity),
            ],
            anchors=draw_from_grid(rng, *self.domain, n["residual"]),
        )


class PlainKleinGordon(KleinGordon):
    """The same with the network of a plain DeepXDE script: unscaled inputs, Glorot-normal."""

    name = "klein-gordon-plain"
    network = PLAIN_SETUP


def residual(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """u_tt - u_xx + u^3 - f at points x of shape (N, 2), columns x and t."""
    u_xx: torch.Tensor = dde.grad.hessian(u, x, i=0, j=0)
    u_tt: torch.Tensor = dde.grad.hessian(u, x, i=1, j=1)
    s, t = x[:, 0:1], x[:, 1:2]
    wave = s * torch.cos(5 * torch.pi * t)
    source = -25 * torch.pi**2 * wave + 6 * s**3 * t - 6 * s * t**3 + (wave + (s * t) ** 3) ** 3
    return u_tt - u_xx + u**3 - source


def velocity(x: torch.Tensor, u: torch.Tensor, _: np.ndarray) -> torch.Tensor:
    """u_t at points x of shape (N, 2), columns x and t."""
    u_t: torch.Tensor = dde.grad.jacobian(u, x, i=0, j=1)
    return u_t
