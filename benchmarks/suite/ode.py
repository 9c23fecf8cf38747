"""Ordinary differential equations: few points, and conditions of one point each."""

from __future__ import annotations

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

from .setup import Setup, everywhere, grid, on_arrays


def at_left(x: np.ndarray, on: bool) -> bool:
    """x = 0."""
    return on and bool(np.isclose(x[0], 0))


def at_right(x: np.ndarray, on: bool) -> bool:
    """x = 1, the end of the beam."""
    return on and bool(np.isclose(x[0], 1))


def euler_beam() -> Setup:
    """u'''' = -1 on [0, 1]: u = u' = 0 on the left, u'' = u''' = 0 on the right."""

    def exact(x: Tensor) -> Tensor:
        return -(x**4) / 24 + x**3 / 6 - x**2 / 4

    def second(x: Tensor, u: Tensor) -> Tensor:
        return dde.grad.hessian(u, x)

    def moment(x: Tensor, u: Tensor, _: np.ndarray) -> Tensor:
        return second(x, u)

    def shear(x: Tensor, u: Tensor, _: np.ndarray) -> Tensor:
        return dde.grad.jacobian(second(x, u), x)

    def pde(x: Tensor, u: Tensor) -> Tensor:
        return dde.grad.hessian(second(x, u), x) + 1

    geom = dde.geometry.Interval(0, 1)
    bcs = [
        dde.icbc.DirichletBC(geom, lambda x: np.zeros((len(x), 1)), at_left),
        dde.icbc.NeumannBC(geom, lambda x: np.zeros((len(x), 1)), at_left),
        dde.icbc.OperatorBC(geom, moment, at_right),
        dde.icbc.OperatorBC(geom, shear, at_right),
    ]
    data = dde.data.PDE(geom, pde, bcs, num_domain=50, num_boundary=2)
    net = dde.nn.FNN([1] + [32] * 3 + [1], "tanh", "Glorot normal")
    return Setup(data, net, grid([0], [1], 1001), on_arrays(exact), exact)


def oscillator_system() -> Setup:
    """u' = 3 v, v' = -3 u on [0, 2] from u = 0, v = 1, and four values of u."""

    def exact(t: Tensor) -> Tensor:
        return torch.cat([torch.sin(3 * t), torch.cos(3 * t)], dim=1)

    def ode(t: Tensor, y: Tensor) -> list[Tensor]:
        u, v = y[:, 0:1], y[:, 1:2]
        u_t, v_t = (dde.grad.jacobian(y, t, i=i) for i in (0, 1))
        return [u_t - 3 * v, v_t + 3 * u]

    geom = dde.geometry.TimeDomain(0, 2)
    known = np.array([[0.4], [0.8], [1.2], [1.6]])
    conditions = [
        dde.icbc.IC(geom, lambda t: np.zeros((len(t), 1)), everywhere, component=0),
        dde.icbc.IC(geom, lambda t: np.ones((len(t), 1)), everywhere, component=1),
        dde.icbc.PointSetBC(known, np.sin(3 * known), component=0),
    ]
    data = dde.data.PDE(geom, ode, conditions, num_domain=100, num_boundary=2)
    net = dde.nn.FNN([1] + [32] * 3 + [2], "tanh", "Glorot normal")
    return Setup(data, net, grid([0], [2], 1001), on_arrays(exact), exact)


def harmonic() -> Setup:
    """u'' + (2 pi)^2 u = 0 on [0, 1] from u = 1, u' = 0; u = 0 solves the equation too."""
    frequency = 2 * np.pi

    def exact(t: Tensor) -> Tensor:
        return torch.cos(frequency * t)

    def ode(t: Tensor, u: Tensor) -> Tensor:
        return dde.grad.hessian(u, t) + frequency**2 * u

    def velocity(t: Tensor, u: Tensor, _: np.ndarray) -> Tensor:
        return dde.grad.jacobian(u, t)

    geom = dde.geometry.TimeDomain(0, 1)
    conditions = [
        dde.icbc.IC(geom, lambda t: np.ones((len(t), 1)), everywhere),
        dde.icbc.OperatorBC(geom, velocity, at_left),
    ]
    data = dde.data.PDE(geom, ode, conditions, num_domain=100, num_boundary=2)
    net = dde.nn.FNN([1] + [32] * 3 + [1], "tanh", "Glorot normal")
    return Setup(data, net, grid([0], [1], 1001), on_arrays(exact), exact)


def stiff_ode() -> Setup:
    """u' = -25.5 u + 24.5 v, v' = 24.5 u - 25.5 v on [0, 1] from u = 2, v = 0.

    The rates are 1 and 50: u = exp(-t) + exp(-50 t), v = exp(-t) - exp(-50 t).
    """

    def exact(t: Tensor) -> Tensor:
        slow, fast = torch.exp(-t), torch.exp(-50 * t)
        return torch.cat([slow + fast, slow - fast], dim=1)

    def ode(t: Tensor, y: Tensor) -> list[Tensor]:
        u, v = y[:, 0:1], y[:, 1:2]
        u_t, v_t = (dde.grad.jacobian(y, t, i=i) for i in (0, 1))
        return [u_t + 25.5 * u - 24.5 * v, v_t - 24.5 * u + 25.5 * v]

    geom = dde.geometry.TimeDomain(0, 1)
    conditions = [
        dde.icbc.IC(geom, lambda t: np.full((len(t), 1), 2.0), everywhere, component=0),
        dde.icbc.IC(geom, lambda t: np.zeros((len(t), 1)), everywhere, component=1),
    ]
    data = dde.data.PDE(geom, ode, conditions, num_domain=200, num_boundary=2)
    net = dde.nn.FNN([1] + [32] * 3 + [2], "tanh", "Glorot normal")
    return Setup(data, net, grid([0], [1], 1001), on_arrays(exact), exact)


def volterra() -> Setup:
    """y' + y = integral of exp(s - x) y(s) over 0 < s < x, for 0 < x < 5, from y = 1."""

    def exact(x: Tensor) -> Tensor:
        return torch.exp(-x) * torch.cosh(x)

    def ide(x: Tensor, y: Tensor, weights: np.ndarray) -> Tensor:
        integral = torch.as_tensor(weights, device=y.device) @ y
        return (dde.grad.jacobian(y, x) + y)[: len(weights)] - integral

    def kernel(x: np.ndarray, s: np.ndarray) -> np.ndarray:
        return np.exp(s - x)

    geom = dde.geometry.TimeDomain(0, 5)
    start = dde.icbc.IC(geom, lambda x: np.ones((len(x), 1)), everywhere)
    data = dde.data.IDE(geom, ide, start, quad_deg=20, kernel=kernel, num_domain=50, num_boundary=2)
    net = dde.nn.FNN([1] + [32] * 3 + [1], "tanh", "Glorot normal")
    return Setup(data, net, grid([0], [5], 1001), on_arrays(exact), exact)
