"""Burgers' equation: forward (Deguchi & Asai 2023, sec. 4.1) and inverse (Zhou et al. 2025)."""

from __future__ import annotations

from dataclasses import dataclass

import deepxde as dde
import numpy as np
import torch

from .base import Problem
from .networks import DN_SETUP
from .references.burgers import cole_hopf
from .sampling import draw_from_grid, draw_uniform, edge, space_time
from .settings import Settings

VISCOSITY = 0.01 / np.pi


@dataclass(frozen=True)
class Residual:
    """u_t + c1 u u_x - c2 u_xx at points of shape (N, 2), columns x and t.

    Args:
        c1: Coefficient of the convection, a number or a ``dde.Variable``.
        c2: Coefficient of the diffusion, a number or a ``dde.Variable``.
    """

    c1: float | torch.Tensor
    c2: float | torch.Tensor

    def __call__(self, x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        u_x, u_t = (dde.grad.jacobian(u, x, i=0, j=j) for j in (0, 1))
        left: torch.Tensor = u_t + self.c1 * u * u_x - self.c2 * dde.grad.hessian(u, x, i=0, j=0)
        return left


class Burgers(Problem):
    """u_t + u u_x - (0.01/pi) u_xx = 0, -1 < x < 1, 0 < t < 1, u = -sin(pi x) at t = 0.

    Terms: the residual; u = 0 at x = -1 and at x = 1 (group "bc"); u at t = 0 (group "ic"). The
    residual points are uniformly random; the paper does not say how it draws them.
    """

    name = "burgers"
    paper = Settings(
        width=20,
        depth=8,
        num_points={"residual": 10000, "boundary": 100, "initial": 100},
        iterations=30000,
        update_every=10,
        gw_alpha=0.1,
    )
    groups = gw_groups = {"bc": [0, 1], "ic": [2]}
    domain = ((-1.0, 0.0), (1.0, 1.0))
    network = DN_SETUP

    def solution(self, x: np.ndarray) -> np.ndarray:
        return cole_hopf(x, VISCOSITY)

    def data(self, rng: np.random.Generator) -> dde.data.TimePDE:
        return dde.data.TimePDE(
            space_time(-1, 1),
            Residual(1.0, VISCOSITY),
            self._conditions(),
            anchors=draw_uniform(rng, *self.domain, self.settings.num_points["residual"]),
        )

    def _conditions(self) -> list[dde.icbc.PointSetBC]:
        n = self.settings.num_points
        sides = [edge(0, at, 0, 1, n["boundary"]) for at in (-1, 1)]
        start = edge(1, 0, -1, 1, n["initial"])
        return [
            *(dde.icbc.PointSetBC(side, np.zeros((len(side), 1))) for side in sides),
            dde.icbc.PointSetBC(start, -np.sin(np.pi * start[:, 0:1])),
        ]


class BurgersInverse(Burgers):
    """u_t + C1 u u_x - C2 u_xx = 0 with unknown C1 and C2, from values of u at random points.

    The true values are C1 = 1 and C2 = 0.01/pi; training starts from C1 = 2.0 and C2 = 0.2. Terms:
    as in :class:`Burgers`, and u at the data points (group "data"). Adam comes first, then L-BFGS
    with frozen weights.
    """

    name = "burgers-inverse"
    paper = Settings(
        width=20,
        depth=8,
        num_points={"residual": 10000, "boundary": 100, "initial": 100, "data": 300},
        iterations=5000,
        update_every=10,
        gw_alpha=0.1,
        betas=(0.99, 0.999),
        lbfgs_iterations=5000,
    )
    groups = gw_groups = {"bc": [0, 1], "ic": [2], "data": [3]}
    drawn_from_grid = ["residual", "data"]
    network = Problem.network
    true_coefficients = {"C1": 1.0, "C2": VISCOSITY}

    def data(self, rng: np.random.Generator) -> dde.data.TimePDE:
        n = self.settings.num_points
        known = draw_from_grid(rng, *self.domain, n["data"])
        return dde.data.TimePDE(
            space_time(-1, 1),
            Residual(dde.Variable(2.0), dde.Variable(0.2)),
            [*self._conditions(), dde.icbc.PointSetBC(known, self.solution(known))],
            anchors=draw_from_grid(rng, *self.domain, n["residual"]),
        )

    def variables(self, data: dde.data.PDE) -> list[torch.Tensor]:
        """C1 and C2; every data object has its own."""
        return [data.pde.c1, data.pde.c2]
