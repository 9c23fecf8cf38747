"""Heat, phase separation and reaction, in one or two dimensions and time."""

from __future__ import annotations

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

from deepxde_balance.problems.references import allen_cahn as allen_cahn_reference

from .setup import Setup, everywhere, grid, on_arrays


def heat_periodic(length: float = 1.0) -> Setup:
    """u_t = a u_xx, periodic in x, from two sine waves.

    Args:
        length: The period, in whatever unit; the diffusivity is 0.01 length^2 and the network
            takes x / length.
    """
    diffusivity = 0.01 * length**2

    def exact(x: Tensor) -> Tensor:
        s, t = 2 * torch.pi * x[:, 0:1] / length, 0.01 * (2 * torch.pi) ** 2 * x[:, 1:2]
        return torch.exp(-t) * torch.sin(s) + 0.5 * torch.exp(-9 * t) * torch.cos(3 * s)

    def pde(x: Tensor, u: Tensor) -> Tensor:
        u_t = dde.grad.jacobian(u, x, i=0, j=1)
        return u_t - diffusivity * dde.grad.hessian(u, x, i=0, j=0)

    geom = dde.geometry.GeometryXTime(
        dde.geometry.Interval(0, length), dde.geometry.TimeDomain(0, 1)
    )
    conditions = [
        dde.icbc.PeriodicBC(geom, 0, everywhere),
        dde.icbc.PeriodicBC(geom, 0, everywhere, derivative_order=1),
        dde.icbc.IC(geom, on_arrays(exact), everywhere),
    ]
    data = dde.data.TimePDE(
        geom, pde, conditions, num_domain=1500, num_boundary=100, num_initial=100
    )
    net = dde.nn.FNN([2] + [50] * 3 + [1], "tanh", "Glorot normal")
    net.apply_feature_transform(lambda x: torch.cat([x[:, 0:1] / length, x[:, 1:2]], dim=1))
    return Setup(data, net, grid([0, 0], [length, 1], 81), on_arrays(exact), exact)


def heat_multiscale() -> Setup:
    """u_t = 1e-3 u_xx + 0.1 u_yy on [0, 1]^2 from sin(8 pi x) sin(pi y), u = 0 on the boundary."""
    slow, fast = 1e-3, 0.1

    def exact(x: Tensor) -> Tensor:
        x, y, t = torch.pi * x[:, 0:1], torch.pi * x[:, 1:2], torch.pi**2 * x[:, 2:3]
        return torch.sin(8 * x) * torch.sin(y) * torch.exp(-(64 * slow + fast) * t)

    def pde(x: Tensor, u: Tensor) -> Tensor:
        u_xx, u_yy = (dde.grad.hessian(u, x, i=i, j=i) for i in (0, 1))
        return dde.grad.jacobian(u, x, i=0, j=2) - slow * u_xx - fast * u_yy

    geom = dde.geometry.GeometryXTime(
        dde.geometry.Rectangle([0, 0], [1, 1]), dde.geometry.TimeDomain(0, 1)
    )
    conditions = [
        dde.icbc.DirichletBC(geom, lambda x: np.zeros((len(x), 1)), everywhere),
        dde.icbc.IC(geom, on_arrays(exact), everywhere),
    ]
    data = dde.data.TimePDE(
        geom, pde, conditions, num_domain=1500, num_boundary=300, num_initial=300
    )
    net = dde.nn.FNN([3] + [50] * 3 + [1], "tanh", "Glorot normal")
    return Setup(data, net, grid([0, 0, 0], [1, 1, 1], 26), on_arrays(exact), exact)


def allen_cahn() -> Setup:
    """u_t = 1e-4 u_xx + 5 (u - u^3), periodic in x, from x^2 cos(pi x)."""

    def pde(x: Tensor, u: Tensor) -> Tensor:
        u_t = dde.grad.jacobian(u, x, i=0, j=1)
        u_xx = dde.grad.hessian(u, x, i=0, j=0)
        return u_t - 1e-4 * u_xx + 5 * (u**3 - u)

    geom = dde.geometry.GeometryXTime(dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 1))
    conditions = [
        dde.icbc.PeriodicBC(geom, 0, everywhere),
        dde.icbc.PeriodicBC(geom, 0, everywhere, derivative_order=1),
        dde.icbc.IC(geom, lambda x: x[:, 0:1] ** 2 * np.cos(np.pi * x[:, 0:1]), everywhere),
    ]
    data = dde.data.TimePDE(
        geom, pde, conditions, num_domain=2000, num_boundary=100, num_initial=200
    )
    net = dde.nn.FNN([2] + [64] * 3 + [1], "tanh", "Glorot normal")
    return Setup(data, net, grid([-1, 0], [1, 1], 101), allen_cahn_reference.solution)


def reaction_diffusion() -> Setup:
    """Fisher's equation u_t = 0.04 u_xx + 6 u (1 - u): a front that travels with speed 1."""

    def exact(x: Tensor) -> Tensor:
        return (1 + torch.exp(5 * (x[:, 0:1] - x[:, 1:2]))) ** -2

    def pde(x: Tensor, u: Tensor) -> Tensor:
        u_t = dde.grad.jacobian(u, x, i=0, j=1)
        return u_t - 0.04 * dde.grad.hessian(u, x, i=0, j=0) - 6 * u * (1 - u)

    geom = dde.geometry.GeometryXTime(dde.geometry.Interval(-1, 2), dde.geometry.TimeDomain(0, 1))
    conditions = [
        dde.icbc.DirichletBC(geom, on_arrays(exact), everywhere),
        dde.icbc.IC(geom, on_arrays(exact), everywhere),
    ]
    data = dde.data.TimePDE(
        geom, pde, conditions, num_domain=1500, num_boundary=100, num_initial=100
    )
    net = dde.nn.FNN([2] + [50] * 3 + [1], "tanh", "Glorot normal")
    return Setup(data, net, grid([-1, 0], [2, 1], 81), on_arrays(exact), exact)
