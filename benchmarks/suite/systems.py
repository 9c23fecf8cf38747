"""Several outputs: a complex field, flows, an elastic plate."""

from __future__ import annotations

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

from deepxde_balance.problems.references import cavity as cavity_reference

from . import split_step
from .setup import Setup, everywhere, grid, on_arrays


def schroedinger() -> Setup:
    """i h_t + h_xx / 2 + |h|^2 h = 0 on [-5, 5], periodic, from 2 exp(-x^2); outputs Re h, Im h."""

    def pde(x: Tensor, h: Tensor) -> list[Tensor]:
        u, v = h[:, 0:1], h[:, 1:2]
        u_t, v_t = (dde.grad.jacobian(h, x, i=i, j=1) for i in (0, 1))
        u_xx, v_xx = (dde.grad.hessian(h, x, component=i, i=0, j=0) for i in (0, 1))
        square = u**2 + v**2
        return [u_t + 0.5 * v_xx + square * v, v_t - 0.5 * u_xx - square * u]

    end, half = split_step.END, split_step.HALF_WIDTH
    geom = dde.geometry.GeometryXTime(
        dde.geometry.Interval(-half, half), dde.geometry.TimeDomain(0, end)
    )
    conditions = [
        *(
            dde.icbc.PeriodicBC(geom, 0, everywhere, derivative_order=order, component=i)
            for order in (0, 1)
            for i in (0, 1)
        ),
        dde.icbc.IC(geom, lambda x: split_step.initial(x[:, 0:1]), everywhere, component=0),
        dde.icbc.IC(geom, lambda x: np.zeros((len(x), 1)), everywhere, component=1),
    ]
    data = dde.data.TimePDE(
        geom, pde, conditions, num_domain=1500, num_boundary=100, num_initial=200
    )
    net = dde.nn.FNN([2] + [64] * 3 + [2], "tanh", "Glorot normal")
    return Setup(data, net, grid([-half, 0], [half, end], 101), split_step.solution)


def momentum(x: Tensor, flow: Tensor, viscosity: float, dimensions: int) -> list[Tensor]:
    """Momentum without the time derivative, then continuity; outputs the velocity, then p."""
    residuals = []
    for i in range(dimensions):
        convection = sum(
            flow[:, j : j + 1] * dde.grad.jacobian(flow, x, i=i, j=j) for j in range(dimensions)
        )
        diffusion = sum(dde.grad.hessian(flow, x, component=i, i=j, j=j) for j in range(dimensions))
        pressure = dde.grad.jacobian(flow, x, i=dimensions, j=i)
        residuals.append(convection + pressure - viscosity * diffusion)
    return [*residuals, sum(dde.grad.jacobian(flow, x, i=j, j=j) for j in range(dimensions))]


def kovasznay() -> Setup:
    """Steady flow behind a grid at Re = 20: u and v on the boundary, p on the right."""
    viscosity = 1 / 20
    decay = 0.5 / viscosity - np.sqrt(0.25 / viscosity**2 + 4 * np.pi**2)

    def exact(x: Tensor) -> Tensor:
        x, y = x[:, 0:1], 2 * torch.pi * x[:, 1:2]
        u = 1 - torch.exp(decay * x) * torch.cos(y)
        v = decay / (2 * torch.pi) * torch.exp(decay * x) * torch.sin(y)
        return torch.cat([u, v, 0.5 * (1 - torch.exp(2 * decay * x))], dim=1)

    def pde(x: Tensor, flow: Tensor) -> list[Tensor]:
        return momentum(x, flow, viscosity, 2)

    solution = on_arrays(exact)
    geom = dde.geometry.Rectangle([-0.5, -0.5], [1, 1.5])
    bcs = [
        dde.icbc.DirichletBC(geom, lambda x: solution(x)[:, 0:1], everywhere, component=0),
        dde.icbc.DirichletBC(geom, lambda x: solution(x)[:, 1:2], everywhere, component=1),
        dde.icbc.DirichletBC(
            geom,
            lambda x: solution(x)[:, 2:3],
            lambda x, on: on and np.isclose(x[0], 1),
            component=2,
        ),
    ]
    data = dde.data.PDE(geom, pde, bcs, num_domain=1000, num_boundary=300)
    net = dde.nn.FNN([2] + [50] * 3 + [3], "tanh", "Glorot normal")
    return Setup(data, net, grid([-0.5, -0.5], [1, 1.5], 81), solution, exact)


def cavity() -> Setup:
    """The lid-driven cavity at Re = 100; outputs u, v, p, of which u and v are compared.

    Five conditions: u and v on the lid, u and v on the walls, p = 0 at one corner.
    """

    def pde(x: Tensor, flow: Tensor) -> list[Tensor]:
        return momentum(x, flow, 1 / cavity_reference.REYNOLDS, 2)

    def on_lid(x: np.ndarray, on: bool) -> bool:
        return on and bool(np.isclose(x[1], 1))

    def on_walls(x: np.ndarray, on: bool) -> bool:
        return on and not on_lid(x, on)

    geom = dde.geometry.Rectangle([0, 0], [1, 1])
    bcs = [
        dde.icbc.DirichletBC(geom, lambda x: np.ones((len(x), 1)), on_lid, component=0),
        dde.icbc.DirichletBC(geom, lambda x: np.zeros((len(x), 1)), on_lid, component=1),
        dde.icbc.DirichletBC(geom, lambda x: np.zeros((len(x), 1)), on_walls, component=0),
        dde.icbc.DirichletBC(geom, lambda x: np.zeros((len(x), 1)), on_walls, component=1),
        dde.icbc.PointSetBC(np.zeros((1, 2)), np.zeros((1, 1)), component=2),
    ]
    data = dde.data.PDE(geom, pde, bcs, num_domain=1200, num_boundary=400)
    net = dde.nn.FNN([2] + [50] * 3 + [3], "tanh", "Glorot normal")
    points = grid([0, 0], [1, 1], 101)
    return Setup(data, net, points, cavity_reference.velocity, compared=(0, 1))


def beltrami() -> Setup:
    """An unsteady flow in [-1, 1]^3 at Re = 1; outputs u, v, w, p, of which u, v, w are compared.

    The solution of Ethier & Steinman (1994) with a = d = 1. u, v and w are given on the boundary
    and at t = 0, so p is fixed up to a function of time.
    """

    def exact(x: Tensor) -> Tensor:
        x, y, z, t = (x[:, i : i + 1] for i in range(4))
        ex, ey, ez = torch.exp(x), torch.exp(y), torch.exp(z)
        sin_xy, sin_yz, sin_zx = torch.sin(x + y), torch.sin(y + z), torch.sin(z + x)
        cos_xy, cos_yz, cos_zx = torch.cos(x + y), torch.cos(y + z), torch.cos(z + x)
        velocity = [ex * sin_yz + ez * cos_xy, ey * sin_zx + ex * cos_yz, ez * sin_xy + ey * cos_zx]
        p = ex**2 + ey**2 + ez**2 + 2 * sin_xy * cos_zx * ey * ez
        p = p + 2 * sin_yz * cos_xy * ez * ex + 2 * sin_zx * cos_yz * ex * ey
        flow = [-w * torch.exp(-t) for w in velocity]
        return torch.cat([*flow, -0.5 * p * torch.exp(-2 * t)], dim=1)

    def pde(x: Tensor, flow: Tensor) -> list[Tensor]:
        *steady, continuity = momentum(x, flow, 1.0, 3)
        change = (dde.grad.jacobian(flow, x, i=i, j=3) for i in range(3))
        return [*(r + w_t for r, w_t in zip(steady, change, strict=True)), continuity]

    def solution(x: np.ndarray) -> np.ndarray:
        return on_arrays(exact)(x)[:, :3]

    def velocity(i: int) -> dict[str, object]:
        return {"func": lambda x: solution(x)[:, i : i + 1], "component": i}

    geom = dde.geometry.GeometryXTime(
        dde.geometry.Cuboid([-1, -1, -1], [1, 1, 1]), dde.geometry.TimeDomain(0, 1)
    )
    conditions = [
        *(dde.icbc.DirichletBC(geom, on_boundary=everywhere, **velocity(i)) for i in range(3)),
        *(dde.icbc.IC(geom, on_initial=everywhere, **velocity(i)) for i in range(3)),
    ]
    data = dde.data.TimePDE(
        geom, pde, conditions, num_domain=400, num_boundary=200, num_initial=100
    )
    net = dde.nn.FNN([4] + [40] * 3 + [4], "tanh", "Glorot normal")
    points = grid([-1, -1, -1, 0], [1, 1, 1, 1], 9)
    return Setup(data, net, points, solution, exact, compared=(0, 1, 2))


def elasticity() -> Setup:
    """A plate in plane strain, lambda = 1, mu = 1/2; outputs the displacements u and v.

    u and v are given below and on the sides, both tractions above. The solution is that of
    DeepXDE's example of an elastic plate.
    """
    lam, mu, load = 1.0, 0.5, 4.0

    def exact(x: Tensor) -> Tensor:
        x, y = x[:, 0:1], x[:, 1:2]
        u = torch.cos(2 * torch.pi * x) * torch.sin(torch.pi * y)
        return torch.cat([u, torch.sin(torch.pi * x) * load * y**4 / 4], dim=1)

    def pde(x: Tensor, shift: Tensor) -> list[Tensor]:
        u_xx, u_yy, u_xy = second_derivatives(x, shift, 0)
        v_xx, v_yy, v_xy = second_derivatives(x, shift, 1)
        s, t = torch.pi * x[:, 0:1], torch.pi * x[:, 1:2]
        y = x[:, 1:2]
        wave = torch.pi**2 * torch.cos(2 * s) * torch.sin(t)
        force_x = -(4 * (lam + 2 * mu) + mu) * wave
        force_x = force_x + (lam + mu) * torch.pi * torch.cos(s) * load * y**3
        force_y = torch.sin(s) * load * ((lam + 2 * mu) * 3 * y**2 - mu * torch.pi**2 * y**4 / 4)
        force_y = force_y - (lam + mu) * 2 * torch.pi**2 * torch.sin(2 * s) * torch.cos(t)
        return [
            (lam + 2 * mu) * u_xx + mu * u_yy + (lam + mu) * v_xy - force_x,
            (lam + 2 * mu) * v_yy + mu * v_xx + (lam + mu) * u_xy - force_y,
        ]

    def shear(x: Tensor, shift: Tensor, _: np.ndarray) -> Tensor:
        u_y = dde.grad.jacobian(shift, x, i=0, j=1)
        v_x = dde.grad.jacobian(shift, x, i=1, j=0)
        s = torch.pi * x[:, 0:1]
        given = torch.pi * (load / 4 * torch.cos(s) - torch.cos(2 * s))
        return mu * (u_y + v_x - given)

    def pressure(x: Tensor, shift: Tensor, _: np.ndarray) -> Tensor:
        u_x = dde.grad.jacobian(shift, x, i=0, j=0)
        v_y = dde.grad.jacobian(shift, x, i=1, j=1)
        return lam * u_x + (lam + 2 * mu) * (v_y - load * torch.sin(torch.pi * x[:, 0:1]))

    def below(x: np.ndarray, on: bool) -> bool:
        return on and bool(np.isclose(x[1], 0))

    def above(x: np.ndarray, on: bool) -> bool:
        return on and bool(np.isclose(x[1], 1))

    def on_sides(x: np.ndarray, on: bool) -> bool:
        return on and not below(x, on) and not above(x, on)

    geom = dde.geometry.Rectangle([0, 0], [1, 1])
    bcs = [
        dde.icbc.DirichletBC(geom, lambda x: np.zeros((len(x), 1)), below, component=0),
        dde.icbc.DirichletBC(geom, lambda x: np.zeros((len(x), 1)), below, component=1),
        dde.icbc.DirichletBC(geom, lambda x: np.sin(np.pi * x[:, 1:2]), on_sides, component=0),
        dde.icbc.DirichletBC(geom, lambda x: np.zeros((len(x), 1)), on_sides, component=1),
        dde.icbc.OperatorBC(geom, shear, above),
        dde.icbc.OperatorBC(geom, pressure, above),
    ]
    data = dde.data.PDE(geom, pde, bcs, num_domain=1000, num_boundary=300)
    net = dde.nn.FNN([2] + [50] * 3 + [2], "tanh", "Glorot normal")
    return Setup(data, net, grid([0, 0], [1, 1], 101), on_arrays(exact), exact)


def second_derivatives(x: Tensor, y: Tensor, component: int) -> list[Tensor]:
    """The xx, yy and xy derivatives of an output."""
    return [
        dde.grad.hessian(y, x, component=component, i=i, j=j) for i, j in ((0, 0), (1, 1), (0, 1))
    ]
