"""Laplace's equation: a constant solves it, so the conditions alone decide."""

from __future__ import annotations

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

from . import laplace_holes as holes_reference
from .setup import Setup, everywhere, grid, on_arrays


def laplacian(x: Tensor, u: Tensor) -> Tensor:
    """u_xx + u_yy."""
    return dde.grad.hessian(u, x, i=0, j=0) + dde.grad.hessian(u, x, i=1, j=1)


def laplace_holes() -> Setup:
    """A square of side 1 with four holes: u = 1 outside, 0 on the holes."""
    disks = [
        dde.geometry.Disk(centre, holes_reference.RADIUS) for centre in holes_reference.CENTRES
    ]
    holes = (disks[0] | disks[1]) | (disks[2] | disks[3])
    geom = dde.geometry.Rectangle([-0.5, -0.5], [0.5, 0.5]) - holes

    def outside(x: np.ndarray, on: bool) -> bool:
        return on and bool(np.any(np.isclose(np.abs(x), 0.5)))

    def on_holes(x: np.ndarray, on: bool) -> bool:
        return on and not outside(x, on)

    bcs = [
        dde.icbc.DirichletBC(geom, lambda x: np.ones((len(x), 1)), outside),
        dde.icbc.DirichletBC(geom, lambda x: np.zeros((len(x), 1)), on_holes),
    ]
    data = dde.data.PDE(geom, laplacian, bcs, num_domain=1000, num_boundary=400)
    net = dde.nn.FNN([2] + [50] * 3 + [1], "tanh", "Glorot normal")
    points = grid([-0.5, -0.5], [0.5, 0.5], 101)
    exact = holes_reference.exact
    inside = points[~holes.inside(points)]
    return Setup(data, net, inside, on_arrays(exact), exact)


def laplace_disk() -> Setup:
    """The unit disk in Cartesian coordinates, u given on the circle."""

    def exact(x: Tensor) -> Tensor:
        x, y = x[:, 0:1], x[:, 1:2]
        return x**4 - 6 * x**2 * y**2 + y**4 + 0.2 * torch.exp(2 * x) * torch.sin(2 * y)

    geom = dde.geometry.Disk([0, 0], 1)
    bc = dde.icbc.DirichletBC(geom, on_arrays(exact), everywhere)
    data = dde.data.PDE(geom, laplacian, bc, num_domain=1000, num_boundary=200)
    net = dde.nn.FNN([2] + [50] * 3 + [1], "tanh", "Glorot normal")
    points = grid([-1, -1], [1, 1], 101)
    return Setup(data, net, points[geom.inside(points)], on_arrays(exact), exact)


def laplace_mixed() -> Setup:
    """[0, 2] x [0, 1]: u on the left, u_n below and above, u_n + u on the right."""

    def exact(x: Tensor) -> Tensor:
        x, y = x[:, 0:1], x[:, 1:2]
        decay = torch.cosh(torch.pi / 2 * y) / np.cosh(np.pi / 2)
        return torch.cos(torch.pi / 2 * x) * decay + x * y

    def slope_above(x: np.ndarray) -> np.ndarray:
        return np.pi / 2 * np.tanh(np.pi / 2) * np.cos(np.pi / 2 * x[:, 0:1]) + x[:, 0:1]

    def slope_right(x: np.ndarray, u: Tensor) -> Tensor:
        y = x[:, 1:2]
        return torch.as_tensor(3 * y - np.cosh(np.pi / 2 * y) / np.cosh(np.pi / 2)) - u

    geom = dde.geometry.Rectangle([0, 0], [2, 1])
    bcs = [
        dde.icbc.DirichletBC(geom, on_arrays(exact), lambda x, on: on and np.isclose(x[0], 0)),
        dde.icbc.NeumannBC(geom, lambda x: -x[:, 0:1], lambda x, on: on and np.isclose(x[1], 0)),
        dde.icbc.NeumannBC(geom, slope_above, lambda x, on: on and np.isclose(x[1], 1)),
        dde.icbc.RobinBC(geom, slope_right, lambda x, on: on and np.isclose(x[0], 2)),
    ]
    corners = np.array([[0, 0], [2, 0], [0, 1], [2, 1]])  # which have no normal
    data = dde.data.PDE(geom, laplacian, bcs, num_domain=1000, num_boundary=300, exclusions=corners)
    net = dde.nn.FNN([2] + [50] * 3 + [1], "tanh", "Glorot normal")
    return Setup(data, net, grid([0, 0], [2, 1], 81), on_arrays(exact), exact)
