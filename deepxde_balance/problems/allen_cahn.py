"""The Allen-Cahn equation: full batch (Zhou et al. 2025), mini-batches (Deguchi & Asai 2023)."""

from __future__ import annotations

import deepxde as dde
import numpy as np
import torch

from .base import Problem
from .mini_batches import MiniBatches, PooledTimePDE
from .networks import DN_SETUP
from .references import allen_cahn as reference
from .sampling import draw_from_grid, draw_uniform, edge, space_time
from .settings import Settings


class PeriodicPointsBC(dde.icbc.PeriodicBC):
    """A ``PeriodicBC`` in x at given times.

    DeepXDE's own class uses the boundary points among the residual points.

    Args:
        geom: The geometry.
        times: The times at which both ends of the interval agree, shape (N,).
        derivative_order: 0 for u, 1 for u_x.
    """

    def __init__(
        self, geom: dde.geometry.GeometryXTime, times: np.ndarray, derivative_order: int = 0
    ):
        super().__init__(geom, 0, lambda x, on: on, derivative_order=derivative_order)
        ends = (geom.geometry.l, geom.geometry.r)
        points = [np.stack([np.full(len(times), end), times], axis=1) for end in ends]
        self.points = np.concatenate(points).astype(dde.config.real(np))

    def collocation_points(self, X: np.ndarray) -> np.ndarray:
        return self.points


class AllenCahn(Problem):
    """u_t - 1e-4 u_xx + 5 u^3 - 5 u = 0, -1 < x < 1, 0 < t < 1, u = x^2 cos(pi x) at t = 0.

    Terms: the residual; equal u and equal u_x at both ends (group "bc"); u at t = 0 (group "ic").
    """

    name = "allen-cahn"
    paper = Settings(
        width=128,
        depth=4,
        num_points={"residual": 20000, "boundary": 100, "initial": 512},
        iterations=80000,
        update_every=100,
        gw_alpha=0.1,
    )
    groups = gw_groups = {"bc": [0, 1], "ic": [2]}
    drawn_from_grid = ["residual"]
    domain = ((-1.0, 0.0), (1.0, 1.0))

    def solution(self, x: np.ndarray) -> np.ndarray:
        return reference.solution(x)

    def data(self, rng: np.random.Generator) -> dde.data.TimePDE:
        points = draw_from_grid(rng, *self.domain, self.settings.num_points["residual"])
        return dde.data.TimePDE(space_time(-1, 1), residual, self._conditions(), anchors=points)

    def _conditions(self) -> list[dde.icbc.BC | dde.icbc.PointSetBC]:
        n, geometry = self.settings.num_points, space_time(-1, 1)
        times = np.linspace(0, 1, n["boundary"])
        start = edge(1, 0, -1, 1, n["initial"])
        return [
            PeriodicPointsBC(geometry, times),
            PeriodicPointsBC(geometry, times, derivative_order=1),
            dde.icbc.PointSetBC(start, reference.initial(start[:, 0:1])),
        ]


class AllenCahnDN(AllenCahn):
    """Allen-Cahn in mini-batches of residual points; only the initial condition is weighted.

    A callback draws the mini-batches: train with :meth:`Problem.train`, or give
    :meth:`Problem.callbacks` to ``model.train``. The pool of residual points is uniformly random;
    the paper does not say how it draws it.
    """

    name = "allen-cahn-dn"
    paper = Settings(
        width=128,
        depth=4,
        num_points={"residual": 20000, "batch": 4096, "boundary": 100, "initial": 512},
        iterations=50000,
        update_every=10,
        gw_alpha=0.1,
    )
    groups = gw_groups = {"ic": [2], "unweighted": [0, 1]}
    drawn_from_grid = []
    network = DN_SETUP

    def data(self, rng: np.random.Generator) -> PooledTimePDE:
        n = self.settings.num_points
        pool = draw_uniform(rng, *self.domain, n["residual"])
        return PooledTimePDE(space_time(-1, 1), residual, self._conditions(), pool, n["batch"])

    def callbacks(self) -> list[dde.callbacks.Callback]:
        return [MiniBatches()]


def residual(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """u_t - 1e-4 u_xx + 5 u^3 - 5 u at points x of shape (N, 2), columns x and t."""
    u_t: torch.Tensor = dde.grad.jacobian(u, x, i=0, j=1)
    u_xx: torch.Tensor = dde.grad.hessian(u, x, i=0, j=0)
    return u_t - reference.DIFFUSION * u_xx + reference.REACTION * (u**3 - u)
