"""Unknown coefficients, found from noisy values of the solution.

The noise is the same for every seed: a seed changes the network, not what was measured.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import deepxde as dde
import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from .setup import Setup, everywhere, grid, on_arrays

#: Standard deviations of the noise.
LORENZ_NOISE = 0.1
DIFFUSION_NOISE = 0.01

#: Bound on the relative L2 error of the Lorenz system's solution.
LORENZ_ERROR = 1e-9

_LORENZ_START = (-8.0, 7.0, 27.0)


def lorenz_inverse() -> Setup:
    """The Lorenz system's three coefficients from 25 noisy values of each component."""
    sigma, rho, beta = (dde.Variable(1.0) for _ in range(3))

    def ode(t: Tensor, y: Tensor) -> list[Tensor]:
        u, v, w = y[:, 0:1], y[:, 1:2], y[:, 2:3]
        u_t, v_t, w_t = (dde.grad.jacobian(y, t, i=i) for i in range(3))
        return [u_t - sigma * (v - u), v_t - u * (rho - w) + v, w_t - u * v + beta * w]

    geom = dde.geometry.TimeDomain(0, 3)
    times = np.linspace(0.12, 3, 25)[:, None]
    noise = LORENZ_NOISE * np.random.default_rng(0).standard_normal((25, 3))
    measured = lorenz_solution(times) + noise

    def start(value: float, component: int) -> dde.icbc.IC:
        func = lambda t: np.full((len(t), 1), value)  # noqa: E731
        return dde.icbc.IC(geom, func, everywhere, component=component)

    conditions = [
        *(start(value, i) for i, value in enumerate(_LORENZ_START)),
        *(dde.icbc.PointSetBC(times, measured[:, i : i + 1], component=i) for i in range(3)),
    ]
    data = dde.data.PDE(geom, ode, conditions, num_domain=400, num_boundary=2, anchors=times)
    net = dde.nn.FNN([1] + [40] * 3 + [3], "tanh", "Glorot normal")
    return Setup(
        data,
        net,
        grid([0], [3], 1001),
        lorenz_solution,
        compile={"external_trainable_variables": [sigma, rho, beta]},
        variables={"sigma": sigma, "rho": rho, "beta": beta},
        true_values={"sigma": 10.0, "rho": 15.0, "beta": 8 / 3},
    )


def lorenz_solution(t: np.ndarray) -> np.ndarray:
    """The three components at times of shape (N, 1), shape (N, 3)."""
    values: np.ndarray = _lorenz()(t[:, 0].astype(float)).T
    return values


@cache
def _lorenz() -> Any:
    def slope(_: float, y: np.ndarray) -> list[float]:
        u, v, w = y
        return [10 * (v - u), u * (15 - w) - v, u * v - 8 / 3 * w]

    solved = solve_ivp(
        slope, (0, 3), _LORENZ_START, "DOP853", dense_output=True, rtol=1e-12, atol=1e-12
    )
    return solved.sol


def diffusion_inverse() -> Setup:
    """u_t = C u_xx + q on [-1, 1] x [0, 1], C from ten noisy values of u at t = 1."""
    diffusivity = dde.Variable(2.0)

    def exact(x: Tensor) -> Tensor:
        return torch.exp(-x[:, 1:2]) * torch.sin(torch.pi * x[:, 0:1])

    def pde(x: Tensor, u: Tensor) -> Tensor:
        u_t = dde.grad.jacobian(u, x, i=0, j=1)
        u_xx = dde.grad.hessian(u, x, i=0, j=0)
        return u_t - diffusivity * u_xx - (torch.pi**2 - 1) * exact(x)

    geom = dde.geometry.GeometryXTime(dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 1))
    where = np.stack([np.linspace(-0.9, 0.9, 10), np.ones(10)], axis=1)
    noise = DIFFUSION_NOISE * np.random.default_rng(0).standard_normal((10, 1))
    conditions = [
        dde.icbc.DirichletBC(geom, lambda x: np.zeros((len(x), 1)), everywhere),
        dde.icbc.IC(geom, on_arrays(exact), everywhere),
        dde.icbc.PointSetBC(where, on_arrays(exact)(where) + noise),
    ]
    data = dde.data.TimePDE(
        geom, pde, conditions, num_domain=800, num_boundary=50, num_initial=50, anchors=where
    )
    net = dde.nn.FNN([2] + [40] * 3 + [1], "tanh", "Glorot normal")
    return Setup(
        data,
        net,
        grid([-1, 0], [1, 1], 81),
        on_arrays(exact),
        exact,
        compile={"external_trainable_variables": [diffusivity]},
        variables={"C": diffusivity},
        true_values={"C": 1.0},
    )
