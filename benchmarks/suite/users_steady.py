"""Users' problems: plates and squares at rest, in two dimensions."""

from __future__ import annotations

from collections.abc import Callable

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

from .setup import Setup, everywhere, grid, on_arrays
from .users_mechanics import constant


def edge(axis: int, value: float) -> Callable[[np.ndarray, bool], bool]:
    """The part of the boundary where a coordinate has that value."""
    return lambda x, on: on and bool(np.isclose(x[axis], value))


def laplacian(x: Tensor, y: Tensor, component: int = 0) -> Tensor:
    """u_xx + u_yy of an output."""
    parts = (dde.grad.hessian(y, x, component=component, i=i, j=i) for i in (0, 1))
    return sum(parts)


def plate_temperature() -> Setup:
    """Laplace's equation on the unit square: sin(pi x) above, 0 on the three other edges.

    4000 and 400 points of the script: 1000 and 200; 15000 iterations: 8000.
    """

    def exact(x: Tensor) -> Tensor:
        across, up = torch.pi * x[:, 0:1], torch.pi * x[:, 1:2]
        return torch.sin(across) * torch.sinh(up) / np.sinh(np.pi)

    def pde(x: Tensor, u: Tensor) -> Tensor:
        return laplacian(x, u)

    geom = dde.geometry.Rectangle([0, 0], [1, 1])
    bcs = [
        dde.icbc.DirichletBC(geom, constant(0), edge(0, 0)),
        dde.icbc.DirichletBC(geom, constant(0), edge(0, 1)),
        dde.icbc.DirichletBC(geom, constant(0), edge(1, 0)),
        dde.icbc.DirichletBC(geom, lambda x: np.sin(np.pi * x[:, 0:1]), edge(1, 1)),
    ]
    data = dde.data.PDE(geom, pde, bcs, num_domain=1000, num_boundary=200)
    net = dde.nn.FNN([2] + [64] * 3 + [1], "tanh", "Glorot normal")
    return Setup(data, net, grid([0, 0], [1, 1], 101), on_arrays(exact), exact)


def poisson_cubic() -> Setup:
    """u_xx + u_yy = 2 (x + y) on the unit square, u = (x^3 + y^3) / 3; few points.

    u is asked of an OperatorBC on all of the boundary.
    """

    def exact(x: Tensor) -> Tensor:
        return (x[:, 0:1] ** 3 + x[:, 1:2] ** 3) / 3

    def pde(x: Tensor, u: Tensor) -> Tensor:
        return laplacian(x, u) - 2 * (x[:, 0:1] + x[:, 1:2])

    def difference(x: Tensor, u: Tensor, _: np.ndarray) -> Tensor:
        return u - exact(x)

    geom = dde.geometry.Rectangle([0, 0], [1, 1])
    bc = dde.icbc.OperatorBC(geom, difference, everywhere)
    data = dde.data.PDE(geom, pde, bc, num_domain=100, num_boundary=40)
    net = dde.nn.FNN([2] + [40] * 2 + [1], "tanh", "Glorot normal")
    return Setup(data, net, grid([0, 0], [1, 1], 101), on_arrays(exact), exact)


def plate_bending() -> Setup:
    """Two equations of second order for one of fourth: w = u_xx + u_yy, w_xx + w_yy = load.

    A square plate on [-1, 1]^2 that is supported on its edges (u = w = 0), under the load
    -4 pi^4 sin(pi x) sin(pi y); u = -sin(pi x) sin(pi y), the sign that the script's own
    comparison misses. 2500 residual points and 20000 iterations of the script: 500 and 6000.
    """

    def wave(x: Tensor) -> Tensor:
        return torch.sin(torch.pi * x[:, 0:1]) * torch.sin(torch.pi * x[:, 1:2])

    def exact(x: Tensor) -> Tensor:
        return torch.cat([-wave(x), 2 * torch.pi**2 * wave(x)], dim=1)

    def pde(x: Tensor, y: Tensor) -> list[Tensor]:
        return [
            laplacian(x, y, 0) - y[:, 1:2],
            laplacian(x, y, 1) + 4 * torch.pi**4 * wave(x),
        ]

    geom = dde.geometry.Rectangle([-1, -1], [1, 1])
    bcs = [dde.icbc.DirichletBC(geom, constant(0), everywhere, component=i) for i in (0, 1)]
    data = dde.data.PDE(geom, pde, bcs, num_domain=500, num_boundary=100)
    net = dde.nn.FNN([2] + [64] * 4 + [2], "tanh", "Glorot normal")
    points = grid([-1, -1], [1, 1], 101)
    return Setup(data, net, points, lambda x: on_arrays(exact)(x)[:, :1], exact, compared=(0,))


def sine_gordon_steady() -> Setup:
    """u_xx + u_yy = sin(u) + q on the unit square with u = 0 around, u = sin(pi x) sin(pi y).

    3000 and 400 points of the script: 500 and 100; 10000 iterations: 4000.
    """

    def exact(x: Tensor) -> Tensor:
        return torch.sin(torch.pi * x[:, 0:1]) * torch.sin(torch.pi * x[:, 1:2])

    def pde(x: Tensor, u: Tensor) -> Tensor:
        known = exact(x)
        source = -2 * torch.pi**2 * known - torch.sin(known)
        return laplacian(x, u) - torch.sin(u) - source

    geom = dde.geometry.Rectangle([0, 0], [1, 1])
    bc = dde.icbc.DirichletBC(geom, on_arrays(exact), everywhere)
    data = dde.data.PDE(geom, pde, bc, num_domain=500, num_boundary=100)
    net = dde.nn.FNN([2] + [128] * 5 + [1], "tanh", "Glorot normal")
    return Setup(data, net, grid([0, 0], [1, 1], 101), on_arrays(exact), exact)
