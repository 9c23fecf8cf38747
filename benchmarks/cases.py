"""The problems of step_time.py, each in DeepXDE and in plain PyTorch on the same points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

import deepxde_balance as ddb
from deepxde_balance.problems import helmholtz, klein_gordon


@dataclass
class Case:
    """A problem.

    Args:
        data: DeepXDE's data object.
        net: The network.
        plain: Computes the sum of the unweighted losses of a network in plain PyTorch, shape ().
        groups: The `loss_groups` for the strategies.
        variables: The external trainable variables.
    """

    data: dde.data.PDE
    net: torch.nn.Module
    plain: Callable[[torch.nn.Module], Tensor]
    groups: dict[str, list[int]]
    variables: list[Tensor] = field(default_factory=list)


def gradient(y: Tensor, x: Tensor) -> Tensor:
    return torch.autograd.grad(y, x, torch.ones_like(y), create_graph=True)[0]


def mse(error: Tensor) -> Tensor:
    return error.square().mean()


def network(width: int, depth: int, inputs: int = 2, outputs: int = 1) -> dde.nn.FNN:
    return dde.nn.FNN([inputs, *[width] * depth, outputs], "tanh", "Glorot normal")


def tensor(points: np.ndarray) -> Tensor:
    return torch.as_tensor(points)


def points_of(data: dde.data.PDE) -> tuple[Tensor, list[Tensor]]:
    """The residual points, and the points of each condition."""
    residual = tensor(data.train_x_all).requires_grad_()
    conditions = np.split(data.train_x_bc, np.cumsum(data.num_bcs)[:-1])
    return residual, [tensor(x).requires_grad_() for x in conditions]


def klein_gordon_full() -> Case:
    """klein-gordon, full size: 10000 / 2 x 1000 / 1000 points, 50 x 3, 2 groups."""
    problem = ddb.problems.get("klein-gordon")
    data = problem.data(np.random.default_rng(0))
    r, (left, right, start, start_t) = points_of(data)
    u_left, u_right, u_start = (bc.values for bc in data.bcs[:3])

    def plain(net: torch.nn.Module) -> Tensor:
        u = net(r)
        du = gradient(u, r)
        u_xx, u_tt = gradient(du[:, 0:1], r)[:, 0:1], gradient(du[:, 1:2], r)[:, 1:2]
        x, t = r[:, 0:1], r[:, 1:2]
        wave = x * torch.cos(5 * torch.pi * t)
        f = -25 * torch.pi**2 * wave + 6 * x**3 * t - 6 * x * t**3 + (wave + (x * t) ** 3) ** 3
        u_t = gradient(net(start_t), start_t)[:, 1:2]
        conditions = mse(net(left) - u_left) + mse(net(right) - u_right)
        return mse(u_tt - u_xx + u**3 - f) + conditions + mse(net(start) - u_start) + mse(u_t)

    return Case(data, problem.net(data), plain, klein_gordon.KleinGordon.groups)


def helmholtz_full() -> Case:
    """helmholtz, full size: 20000 / 4 x 100 points, 50 x 4, 2 groups."""
    problem = ddb.problems.get("helmholtz")
    data = problem.data(np.random.default_rng(0))
    r, sides = points_of(data)

    def plain(net: torch.nn.Module) -> Tensor:
        u = net(r)
        du = gradient(u, r)
        u_xx, u_yy = gradient(du[:, 0:1], r)[:, 0:1], gradient(du[:, 1:2], r)[:, 1:2]
        exact = torch.sin(torch.pi * r[:, 0:1]) * torch.sin(4 * torch.pi * r[:, 1:2])
        conditions = sum(mse(net(side)) for side in sides)
        return mse(u_xx + u_yy + u - (1 - 17 * torch.pi**2) * exact) + conditions

    return Case(data, problem.net(data), plain, helmholtz.Helmholtz.groups)


def poisson(parts: int) -> Case:
    """u_xx + u_yy = 1 on the unit square: 10000 / 1600 points, 50 x 4, the boundary in parts."""
    square = dde.geometry.Rectangle([0, 0], [1, 1])
    rng = np.random.default_rng(0)
    along = np.linspace(0, 1, 400, endpoint=False)
    zero, one = np.zeros(400), np.ones(400)
    ring = [(along, zero), (one, along), (1 - along, one), (zero, 1 - along)]
    boundary = np.concatenate([np.stack(side, axis=1) for side in ring])
    bcs = [dde.icbc.PointSetBC(x, np.zeros((len(x), 1))) for x in np.split(boundary, parts)]

    def pde(x: Tensor, u: Tensor) -> Tensor:
        return dde.grad.hessian(u, x, i=0, j=0) + dde.grad.hessian(u, x, i=1, j=1) - 1

    data = dde.data.PDE(square, pde, bcs, anchors=rng.random((10000, 2)))
    r, conditions = points_of(data)

    def plain(net: torch.nn.Module) -> Tensor:
        du = gradient(net(r), r)
        u_xx, u_yy = gradient(du[:, 0:1], r)[:, 0:1], gradient(du[:, 1:2], r)[:, 1:2]
        return mse(u_xx + u_yy - 1) + sum(mse(net(x)) for x in conditions)

    groups = {f"part{i}": [i] for i in range(parts)}
    return Case(data, network(50, 4), plain, groups)


def two_groups() -> Case:
    """Poisson, 10000 / 1600 points, 50 x 4, 2 groups."""
    return poisson(2)


def sixteen_groups() -> Case:
    """Poisson, 10000 / 1600 points, 50 x 4, 16 groups."""
    return poisson(16)


def cavity() -> Case:
    """Lid-driven cavity: (psi, p), 20000 / 4 x 100 points, 50 x 3, 2 residuals, 2 groups."""
    rng, nu = np.random.default_rng(0), 0.01
    side = np.linspace(0, 1, 100)
    zero, one = np.zeros(100), np.ones(100)
    sides = [(zero, side), (one, side), (side, zero)]
    walls = np.concatenate([np.stack(s, axis=1) for s in sides])
    lid = np.stack([side, one], axis=1)

    def velocity(x: Tensor, out: Tensor) -> Tensor:
        psi_x = dde.grad.jacobian(out, x, i=0, j=0)
        psi_y = dde.grad.jacobian(out, x, i=0, j=1)
        return torch.cat([psi_y, -psi_x], dim=1)

    def pde(x: Tensor, out: Tensor) -> list[Tensor]:
        uv = velocity(x, out)
        u, v = uv[:, 0:1], uv[:, 1:2]
        residuals = []
        for i in (0, 1):
            w_x, w_y = (dde.grad.jacobian(uv, x, i=i, j=j) for j in (0, 1))
            w_xx, w_yy = (dde.grad.hessian(uv, x, component=i, i=j, j=j) for j in (0, 1))
            p_i = dde.grad.jacobian(out, x, i=1, j=i)
            residuals.append(u * w_x + v * w_y + p_i - nu * (w_xx + w_yy))
        return residuals

    def slip(speed: float) -> Callable[..., Tensor]:
        """An operator whose MSE is the mean squared distance of (u, v) from (speed, 0)."""

        def error(x: Tensor, out: Tensor, _: Any) -> Tensor:
            uv = velocity(x, out)
            return torch.sqrt((uv[:, 0:1] - speed) ** 2 + uv[:, 1:2] ** 2 + 1e-12)

        return error

    bcs = [
        dde.icbc.PointSetOperatorBC(walls, np.zeros((300, 1)), slip(0.0)),
        dde.icbc.PointSetOperatorBC(lid, np.zeros((100, 1)), slip(1.0)),
    ]
    square = dde.geometry.Rectangle([0, 0], [1, 1])
    data = dde.data.PDE(square, pde, bcs, anchors=rng.random((20000, 2)))
    r, conditions = points_of(data)

    def plain(net: torch.nn.Module) -> Tensor:
        out = net(r)
        d_psi, d_p = gradient(out[:, 0:1], r), gradient(out[:, 1:2], r)
        u, v = d_psi[:, 1:2], -d_psi[:, 0:1]
        loss = torch.zeros(())
        for i, w in enumerate((u, v)):
            dw = gradient(w, r)
            laplacian = sum(gradient(dw[:, j : j + 1], r)[:, j : j + 1] for j in (0, 1))
            advection = u * dw[:, 0:1] + v * dw[:, 1:2]
            loss = loss + mse(advection + d_p[:, i : i + 1] - nu * laplacian)
        for x, speed in zip(conditions, (0.0, 1.0), strict=True):
            d_psi = gradient(net(x)[:, 0:1], x)
            error = (d_psi[:, 1:2] - speed) ** 2 + d_psi[:, 0:1] ** 2
            loss = loss + mse(torch.sqrt(error + 1e-12))
        return loss

    return Case(data, network(50, 3, outputs=2), plain, {"walls": [0], "lid": [1]})


def inverse_burgers() -> Case:
    """Inverse Burgers: 10000 / 2 x 100 / 100 / 300 points, 20 x 8, 2 unknowns, 3 groups."""
    rng = np.random.default_rng(0)
    geom = dde.geometry.GeometryXTime(dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 1))
    c1, c2 = dde.Variable(2.0), dde.Variable(0.2)

    def pde(x: Tensor, u: Tensor) -> Tensor:
        u_x, u_t = (dde.grad.jacobian(u, x, i=0, j=j) for j in (0, 1))
        return u_t + c1 * u * u_x - c2 * dde.grad.hessian(u, x, i=0, j=0)

    t, x = np.linspace(0, 1, 100), np.linspace(-1, 1, 100)
    sides = [np.stack([np.full(100, s), t], axis=1) for s in (-1.0, 1.0)]
    start = np.stack([x, np.zeros(100)], axis=1)
    inside = rng.random((300, 2)) * [2, 1] - [1, 0]
    values = [np.zeros((100, 1))] * 2 + [-np.sin(np.pi * start[:, 0:1]), np.zeros((300, 1))]
    sets = [*sides, start, inside]
    bcs = [dde.icbc.PointSetBC(p, v) for p, v in zip(sets, values, strict=True)]
    anchors = rng.random((10000, 2)) * [2, 1] - [1, 0]
    data = dde.data.TimePDE(geom, pde, bcs, anchors=anchors)
    r, conditions = points_of(data)
    targets = [bc.values for bc in bcs]

    def plain(net: torch.nn.Module) -> Tensor:
        u = net(r)
        du = gradient(u, r)
        u_xx = gradient(du[:, 0:1], r)[:, 0:1]
        loss = mse(du[:, 1:2] + c1 * u * du[:, 0:1] - c2 * u_xx)
        return loss + sum(mse(net(p) - v) for p, v in zip(conditions, targets, strict=True))

    groups = {"bc": [0, 1], "ic": [2], "data": [3]}
    return Case(data, network(20, 8), plain, groups, [c1, c2])


def tiny_ode() -> Case:
    """u'' + 4 u = 0, u(0) = 1, u'(0) = 0: 50 points, 20 x 2, 2 groups."""
    geom = dde.geometry.TimeDomain(0, 2)

    def pde(t: Tensor, u: Tensor) -> Tensor:
        return dde.grad.hessian(u, t) + 4 * u

    def at_start(t: np.ndarray, _: bool) -> bool:
        return bool(np.isclose(t[0], 0))

    value = dde.icbc.IC(geom, lambda t: np.ones_like(t), at_start)
    slope = dde.icbc.OperatorBC(geom, lambda t, u, _: dde.grad.jacobian(u, t), at_start)
    data = dde.data.PDE(geom, pde, [value, slope], num_domain=48, num_boundary=2)
    r, (start, start_t) = points_of(data)

    def plain(net: torch.nn.Module) -> Tensor:
        u = net(r)
        u_tt = gradient(gradient(u, r), r)
        return mse(u_tt + 4 * u) + mse(net(start) - 1) + mse(gradient(net(start_t), start_t))

    return Case(data, network(20, 2, inputs=1), plain, {"value": [0], "slope": [1]})


CASES: dict[str, Callable[[], Case]] = {
    "klein-gordon": klein_gordon_full,
    "helmholtz": helmholtz_full,
    "2-groups": two_groups,
    "16-groups": sixteen_groups,
    "cavity": cavity,
    "inverse-burgers": inverse_burgers,
    "tiny-ode": tiny_ode,
}
