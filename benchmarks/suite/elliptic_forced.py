"""Elliptic equations with a source, from solutions in closed form."""

from __future__ import annotations

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

from .elliptic_homogeneous import laplacian
from .setup import Setup, everywhere, grid, on_arrays


def helmholtz(scale: float = 1.0) -> Setup:
    """u_xx + u_yy + u = q on [-1, 1]^2 with u = sin(pi x) sin(4 pi y), which is 0 on the boundary.

    Args:
        scale: What the residual is multiplied by.
    """

    def exact(x: Tensor) -> Tensor:
        return torch.sin(torch.pi * x[:, 0:1]) * torch.sin(4 * torch.pi * x[:, 1:2])

    def pde(x: Tensor, u: Tensor) -> Tensor:
        return scale * (laplacian(x, u) + u - (1 - 17 * torch.pi**2) * exact(x))

    geom = dde.geometry.Rectangle([-1, -1], [1, 1])
    bc = dde.icbc.DirichletBC(geom, lambda x: np.zeros((len(x), 1)), everywhere)
    data = dde.data.PDE(geom, pde, bc, num_domain=2048, num_boundary=400)
    net = dde.nn.FNN([2] + [64] * 3 + [1], "tanh", "Glorot normal")
    return Setup(data, net, grid([-1, -1], [1, 1], 101), on_arrays(exact), exact)


def poisson_frequencies() -> Setup:
    """u_xx + u_yy = q on [0, 1]^2, u = cos(w x) sin(w y) summed over w = pi and 4 pi.

    u is given on the x-sides and on the y-sides: two conditions.
    """

    def wave(x: Tensor, w: float) -> Tensor:
        return torch.cos(w * x[:, 0:1]) * torch.sin(w * x[:, 1:2])

    def exact(x: Tensor) -> Tensor:
        return wave(x, np.pi) + wave(x, 4 * np.pi)

    def pde(x: Tensor, u: Tensor) -> Tensor:
        return laplacian(x, u) + 2 * np.pi**2 * (wave(x, np.pi) + 16 * wave(x, 4 * np.pi))

    def on_x_sides(x: np.ndarray, on: bool) -> bool:
        return on and bool(np.isclose(x[0], 0) or np.isclose(x[0], 1))

    geom = dde.geometry.Rectangle([0, 0], [1, 1])
    bcs = [
        dde.icbc.DirichletBC(geom, on_arrays(exact), on_x_sides),
        dde.icbc.DirichletBC(geom, on_arrays(exact), lambda x, on: on and not on_x_sides(x, on)),
    ]
    data = dde.data.PDE(geom, pde, bcs, num_domain=1500, num_boundary=400)
    net = dde.nn.FNN([2] + [50] * 4 + [1], "tanh", "Glorot normal")
    return Setup(data, net, grid([0, 0], [1, 1], 101), on_arrays(exact), exact)


def poisson_l_shape() -> Setup:
    """u_xx + u_yy = q on an L-shape with the corner's singularity r^(2/3).

    [-1, 1]^2 without its lower right quarter. u = 0 on the two edges of the inner corner, u_n is
    given below and on the right, u_n + u on the left and above.
    """

    def exact(x: Tensor) -> Tensor:
        x, y = x[:, 0:1], x[:, 1:2]
        # The angle from the positive x-axis, 0 to 3 pi / 2; its jump lies in the missing quarter.
        angle = torch.atan2(-x - y, y - x) + 3 * torch.pi / 4
        singular = (x**2 + y**2) ** (1 / 3) * torch.sin(2 / 3 * angle)
        return singular + torch.sin(torch.pi * x) * torch.sin(torch.pi * y)

    def pde(x: Tensor, u: Tensor) -> Tensor:
        smooth = torch.sin(torch.pi * x[:, 0:1]) * torch.sin(torch.pi * x[:, 1:2])
        return laplacian(x, u) + 2 * torch.pi**2 * smooth

    def normal_slope(x: np.ndarray) -> np.ndarray:
        s, t = x[:, 0].astype(float), x[:, 1].astype(float)
        angle = np.arctan2(-s - t, t - s) + 3 * np.pi / 4
        power = 2 / 3 * np.hypot(s, t) ** (-1 / 3)
        u_x = -power * np.sin(angle / 3) + np.pi * np.cos(np.pi * s) * np.sin(np.pi * t)
        u_y = power * np.cos(angle / 3) + np.pi * np.sin(np.pi * s) * np.cos(np.pi * t)
        normal = geom.boundary_normal(x)
        return (u_x * normal[:, 0] + u_y * normal[:, 1])[:, None]

    def robin(x: np.ndarray, u: Tensor) -> Tensor:
        return torch.as_tensor(normal_slope(x) + on_arrays(exact)(x)).to(u) - u

    def below_or_right(x: np.ndarray, on: bool) -> bool:
        return on and bool(np.isclose(x[1], -1) or np.isclose(x[0], 1))

    def left_or_above(x: np.ndarray, on: bool) -> bool:
        return on and bool(np.isclose(x[0], -1) or np.isclose(x[1], 1))

    def at_inner_corner(x: np.ndarray, on: bool) -> bool:
        return on and not below_or_right(x, on) and not left_or_above(x, on)

    # A Polygon draws its boundary points in double precision, which a float32 network refuses.
    square = dde.geometry.Rectangle([-1, -1], [1, 1])
    geom = square - dde.geometry.Rectangle([0, -2], [2, 0])
    bcs = [
        dde.icbc.DirichletBC(geom, lambda x: np.zeros((len(x), 1)), at_inner_corner),
        dde.icbc.NeumannBC(geom, normal_slope, below_or_right),
        dde.icbc.RobinBC(geom, robin, left_or_above),
    ]
    corners = np.array([[-1, -1], [0, -1], [0, 0], [1, 0], [1, 1], [-1, 1]])  # without a normal
    data = dde.data.PDE(geom, pde, bcs, num_domain=1200, num_boundary=320, exclusions=corners)
    net = dde.nn.FNN([2] + [50] * 3 + [1], "tanh", "Glorot normal")
    points = grid([-1, -1], [1, 1], 101)
    return Setup(data, net, points[geom.inside(points)], on_arrays(exact), exact)


def poisson_anisotropic(scale: float = 1.0) -> Setup:
    """u_xx + 0.01 u_yy = q on [0, 1]^2: u on the x-sides, u_y = 0 on the y-sides.

    Args:
        scale: What the residual is multiplied by.
    """

    def exact(x: Tensor) -> Tensor:
        return torch.sin(torch.pi * x[:, 0:1]) * torch.cos(4 * torch.pi * x[:, 1:2])

    def pde(x: Tensor, u: Tensor) -> Tensor:
        u_xx = dde.grad.hessian(u, x, i=0, j=0)
        u_yy = dde.grad.hessian(u, x, i=1, j=1)
        return scale * (u_xx + 0.01 * u_yy + (1 + 0.16) * torch.pi**2 * exact(x))

    def on_x_sides(x: np.ndarray, on: bool) -> bool:
        return on and bool(np.isclose(x[0], 0) or np.isclose(x[0], 1))

    geom = dde.geometry.Rectangle([0, 0], [1, 1])
    bcs = [
        dde.icbc.DirichletBC(geom, lambda x: np.zeros((len(x), 1)), on_x_sides),
        dde.icbc.NeumannBC(
            geom, lambda x: np.zeros((len(x), 1)), lambda x, on: on and not on_x_sides(x, on)
        ),
    ]
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])  # which have no normal
    data = dde.data.PDE(geom, pde, bcs, num_domain=1500, num_boundary=400, exclusions=corners)
    net = dde.nn.FNN([2] + [50] * 3 + [1], "tanh", "Glorot normal")
    return Setup(data, net, grid([0, 0], [1, 1], 101), on_arrays(exact), exact)


def poisson_5d() -> Setup:
    """-div grad u = q on [0, 1]^5 with u = sum of sin(pi x_i / 2)."""

    def exact(x: Tensor) -> Tensor:
        return torch.sin(torch.pi / 2 * x).sum(dim=1, keepdim=True)

    def pde(x: Tensor, u: Tensor) -> Tensor:
        second = sum(dde.grad.hessian(u, x, i=i, j=i) for i in range(5))
        return -second - torch.pi**2 / 4 * exact(x)

    geom = dde.geometry.Hypercube([0] * 5, [1] * 5)
    bc = dde.icbc.DirichletBC(geom, on_arrays(exact), everywhere)
    data = dde.data.PDE(geom, pde, bc, num_domain=800, num_boundary=400)
    net = dde.nn.FNN([5] + [40] * 3 + [1], "tanh", "Glorot normal")
    return Setup(data, net, grid([0] * 5, [1] * 5, 6), on_arrays(exact), exact)
