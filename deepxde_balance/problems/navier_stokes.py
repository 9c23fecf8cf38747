"""The lid-driven cavity, for inner-balancing (Zhou et al. 2025, supplement)."""

from __future__ import annotations

import deepxde as dde
import numpy as np
import torch
from scipy.stats import qmc

from .base import Problem
from .references import cavity
from .sampling import edge
from .settings import Settings


class NavierStokes(Problem):
    """Steady flow in [0, 1]^2 at Re = 100; the lid y = 1 moves with u = 1.

    The network's outputs are the stream function psi and the pressure p. With u = psi_y and
    v = -psi_x the continuity equation always holds. Terms: the two momentum residuals; u and v on
    the left, right and lower side (group "walls") and on the lid (group "lid"). GW has one group
    of all conditions ("bc").

    The velocity jumps in the lid's corners, where no network can be both 1 and 0. The two points
    there belong to the lid only, and the reference solution has the lid's speed there. The errors
    are those of the speed sqrt(u^2 + v^2).
    """

    name = "navier-stokes"
    paper = Settings(
        width=50,
        depth=3,
        num_points={"residual": 20000, "boundary": 100},
        iterations=40000,
        update_every=10,
        gw_alpha=0.1,
    )
    groups = {"walls": [0, 1, 2, 3, 4, 5], "lid": [6, 7]}
    gw_groups = {"bc": list(range(8))}
    domain = ((0.0, 0.0), (1.0, 1.0))
    evaluation_size = 100
    num_outputs = 2

    def solution(self, x: np.ndarray) -> np.ndarray:
        """The reference speed at points x of shape (N, 2), shape (N, 1)."""
        norms: np.ndarray = np.linalg.norm(cavity.velocity(x), axis=1, keepdims=True)
        return norms

    def outputs(self, model: dde.Model, x: np.ndarray) -> np.ndarray:
        outputs: np.ndarray = model.predict(x, operator=speed)
        return outputs

    def data(self, rng: np.random.Generator) -> dde.data.PDE:
        n = self.settings.num_points["boundary"]
        below_lid = 1 - 1 / n  # n equispaced points on a wall, without its corner with the lid
        left, right = (edge(0, at, 0, below_lid, n) for at in (0, 1))
        bottom, lid = (edge(1, at, 0, 1, n) for at in (0, 1))
        conditions = [
            dde.icbc.PointSetOperatorBC(side, np.full((n, 1), value), component)
            for side, velocity in ((left, 0.0), (right, 0.0), (bottom, 0.0), (lid, 1.0))
            for component, value in ((u_velocity, velocity), (v_velocity, 0.0))
        ]
        residual_points = qmc.LatinHypercube(2, seed=rng).random(
            self.settings.num_points["residual"]
        )
        return dde.data.PDE(
            dde.geometry.Rectangle([0, 0], [1, 1]), residual, conditions, anchors=residual_points
        )


def residual(x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
    """The two momentum residuals at points x of shape (N, 2), for outputs y = (psi, p)."""
    u, v = u_velocity(x, y), v_velocity(x, y)
    residuals = []
    for j, w in enumerate((u, v)):
        w_x, w_y = (dde.grad.jacobian(w, x, i=0, j=k) for k in (0, 1))
        w_xx, w_yy = (dde.grad.hessian(w, x, i=k, j=k) for k in (0, 1))
        p_j = dde.grad.jacobian(y, x, i=1, j=j)
        residuals.append(u * w_x + v * w_y + p_j - (w_xx + w_yy) / cavity.REYNOLDS)
    return residuals


def u_velocity(x: torch.Tensor, y: torch.Tensor, _: np.ndarray | None = None) -> torch.Tensor:
    """u = psi_y."""
    psi_y: torch.Tensor = dde.grad.jacobian(y, x, i=0, j=1)
    return psi_y


def v_velocity(x: torch.Tensor, y: torch.Tensor, _: np.ndarray | None = None) -> torch.Tensor:
    """v = -psi_x."""
    psi_x: torch.Tensor = dde.grad.jacobian(y, x, i=0, j=0)
    return -psi_x


def speed(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """sqrt(u^2 + v^2)."""
    return torch.hypot(u_velocity(x, y), v_velocity(x, y))
