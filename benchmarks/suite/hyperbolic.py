"""Waves and transport, in one dimension and time."""

from __future__ import annotations

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

from deepxde_balance.problems.references import burgers as burgers_reference

from .setup import Setup, everywhere, grid, on_arrays


def at_start(x: np.ndarray, _: bool) -> bool:
    """t = 0, for an OperatorBC."""
    return bool(np.isclose(x[1], 0))


def velocity(x: Tensor, u: Tensor, _: np.ndarray) -> Tensor:
    """u_t."""
    return dde.grad.jacobian(u, x, i=0, j=1)


def wave() -> Setup:
    """u_tt = 4 u_xx on [0, 1]^2 from two standing waves at rest."""

    def exact(x: Tensor) -> Tensor:
        x, t = torch.pi * x[:, 0:1], torch.pi * x[:, 1:2]
        slow, fast = torch.sin(x) * torch.cos(2 * t), torch.sin(4 * x) * torch.cos(8 * t)
        return slow + 0.5 * fast

    def pde(x: Tensor, u: Tensor) -> Tensor:
        return dde.grad.hessian(u, x, i=1, j=1) - 4 * dde.grad.hessian(u, x, i=0, j=0)

    geom = dde.geometry.GeometryXTime(dde.geometry.Interval(0, 1), dde.geometry.TimeDomain(0, 1))
    conditions = [
        dde.icbc.DirichletBC(geom, lambda x: np.zeros((len(x), 1)), everywhere),
        dde.icbc.IC(geom, on_arrays(exact), everywhere),
        dde.icbc.OperatorBC(geom, velocity, at_start),
    ]
    data = dde.data.TimePDE(
        geom, pde, conditions, num_domain=2000, num_boundary=200, num_initial=200
    )
    net = dde.nn.FNN([2] + [64] * 3 + [1], "tanh", "Glorot normal")
    return Setup(data, net, grid([0, 0], [1, 1], 101), on_arrays(exact), exact)


def advection() -> Setup:
    """u_t + 30 u_x = 0 on [0, 2 pi] x [0, 1], periodic, from sin(x)."""

    def exact(x: Tensor) -> Tensor:
        return torch.sin(x[:, 0:1] - 30 * x[:, 1:2])

    def pde(x: Tensor, u: Tensor) -> Tensor:
        u_x, u_t = (dde.grad.jacobian(u, x, i=0, j=j) for j in (0, 1))
        return u_t + 30 * u_x

    geom = dde.geometry.GeometryXTime(
        dde.geometry.Interval(0, 2 * np.pi), dde.geometry.TimeDomain(0, 1)
    )
    conditions = [
        dde.icbc.PeriodicBC(geom, 0, everywhere),
        dde.icbc.IC(geom, on_arrays(exact), everywhere),
    ]
    data = dde.data.TimePDE(
        geom, pde, conditions, num_domain=2000, num_boundary=200, num_initial=200
    )
    net = dde.nn.FNN([2] + [50] * 4 + [1], "tanh", "Glorot normal")
    return Setup(data, net, grid([0, 0], [2 * np.pi, 1], 101), on_arrays(exact), exact)


def klein_gordon_plain() -> Setup:
    """u_tt - u_xx + u^3 = f on [0, 1]^2 with u = x cos(5 pi t) + (x t)^3, inputs as they are."""

    def exact(x: Tensor) -> Tensor:
        x, t = x[:, 0:1], x[:, 1:2]
        return x * torch.cos(5 * torch.pi * t) + (x * t) ** 3

    def pde(x: Tensor, u: Tensor) -> Tensor:
        u_xx, u_tt = (dde.grad.hessian(u, x, i=i, j=i) for i in (0, 1))
        s, t = x[:, 0:1], x[:, 1:2]
        wave_tt = -25 * torch.pi**2 * s * torch.cos(5 * torch.pi * t)
        source = wave_tt + 6 * s**3 * t - 6 * s * t**3 + exact(x) ** 3
        return u_tt - u_xx + u**3 - source

    geom = dde.geometry.GeometryXTime(dde.geometry.Interval(0, 1), dde.geometry.TimeDomain(0, 1))
    conditions = [
        dde.icbc.DirichletBC(geom, on_arrays(exact), everywhere),
        dde.icbc.IC(geom, on_arrays(exact), everywhere),
        dde.icbc.OperatorBC(geom, velocity, at_start),
    ]
    data = dde.data.TimePDE(
        geom, pde, conditions, num_domain=1500, num_boundary=200, num_initial=100
    )
    net = dde.nn.FNN([2] + [50] * 3 + [1], "tanh", "Glorot normal")
    return Setup(data, net, grid([0, 0], [1, 1], 101), on_arrays(exact), exact)


def burgers() -> Setup:
    """u_t + u u_x = 0.01 / pi u_xx from -sin(pi x), u = 0 at x = -1 and x = 1: a shock at x = 0."""
    viscosity = 0.01 / np.pi

    def pde(x: Tensor, u: Tensor) -> Tensor:
        u_x, u_t = (dde.grad.jacobian(u, x, i=0, j=j) for j in (0, 1))
        return u_t + u * u_x - viscosity * dde.grad.hessian(u, x, i=0, j=0)

    geom = dde.geometry.GeometryXTime(dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 1))
    conditions = [
        dde.icbc.DirichletBC(geom, lambda x: np.zeros((len(x), 1)), everywhere),
        dde.icbc.IC(geom, lambda x: -np.sin(np.pi * x[:, 0:1]), everywhere),
    ]
    data = dde.data.TimePDE(
        geom, pde, conditions, num_domain=2000, num_boundary=100, num_initial=200
    )
    net = dde.nn.FNN([2] + [50] * 3 + [1], "tanh", "Glorot normal")

    def solution(x: np.ndarray) -> np.ndarray:
        return burgers_reference.cole_hopf(x, viscosity)

    return Setup(data, net, grid([-1, 0], [1, 1], 101), solution)
