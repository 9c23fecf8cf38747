"""Users' problems: diffusion in soil, in a particle, in a plate, and carried by a stream."""

from __future__ import annotations

from functools import cache

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

from .chebyshev import End, solve
from .setup import OnArrays, Setup, everywhere, grid, on_arrays
from .users_mechanics import constant
from .users_steady import edge

#: Bounds on the relative L2 errors of the solutions by collocation.
ERROR = 1e-8
FRONT_ERROR = 2e-5

_FIXED = End(value=1, slope=0, given=0)


def span(duration: float) -> dde.geometry.GeometryXTime:
    """0 <= x <= 1 and the time."""
    return dde.geometry.GeometryXTime(
        dde.geometry.Interval(0, 1), dde.geometry.TimeDomain(0, duration)
    )


def rates(x: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """u_t, u_x and u_xx."""
    u_x, u_t = (dde.grad.jacobian(u, x, i=0, j=j) for j in (0, 1))
    return u_t, u_x, dde.grad.hessian(u, x, i=0, j=0)


def consolidation() -> Setup:
    """Terzaghi's u_t = u_zz on [0, 1]^2: u = 1 at first, u = 0 at both ends, where u jumps."""

    def exact(x: Tensor) -> Tensor:
        z, t = x[:, 0:1], x[:, 1:2]
        width = 2 * torch.sqrt(torch.clamp(t, min=1e-12))
        images = (
            (-1) ** n * (torch.erfc((n + z) / width) + torch.erfc((n + 1 - z) / width))
            for n in range(14)
        )
        return 1 - sum(images)

    def pde(x: Tensor, u: Tensor) -> Tensor:
        u_t, _, u_zz = rates(x, u)
        return u_t - u_zz

    geom = span(1)
    conditions = [
        dde.icbc.DirichletBC(geom, constant(0), everywhere),
        dde.icbc.IC(geom, constant(1), everywhere),
    ]
    data = dde.data.TimePDE(
        geom, pde, conditions, num_domain=2000, num_boundary=100, num_initial=100
    )
    net = dde.nn.FNN([2] + [32] * 3 + [1], "tanh", "Glorot normal")
    return Setup(data, net, grid([0, 0], [1, 1], 101), on_arrays(exact), exact)


def heat_plate() -> Setup:
    """T_t = 0.05 (T_xx + T_yy) on the unit square: max(0, 2 x - 1) at first, with a kink.

    0 on the left and 1 on the right, insulated below and above; the network's output is |T|.
    30000, 8000 and 20000 points in batches of 256: 500, 150 and 150, all at once; 10000
    iterations: 5000.
    """
    diffusivity = 0.05

    def bend(x: Tensor, t: Tensor) -> Tensor:
        """What diffusion adds to |x| / 2."""
        width = torch.sqrt(4 * diffusivity * torch.clamp(t, min=1e-12))
        z = x / width
        smooth = z * torch.erf(z) / 2 + torch.exp(-(z**2)) / (2 * np.sqrt(np.pi))
        return width * (smooth - torch.abs(z) / 2)

    def exact(x: Tensor) -> Tensor:
        x, t = x[:, 0:1], x[:, 2:3]
        # The odd periodic continuation of T - x has a kink at each x = k + 1/2.
        bends = (2 * (-1) ** (k % 2) * bend(x - k - 0.5, t) for k in range(-5, 6))
        return torch.clamp(2 * x - 1, min=0) + sum(bends)

    def pde(x: Tensor, u: Tensor) -> Tensor:
        u_xx, u_yy = (dde.grad.hessian(u, x, i=i, j=i) for i in (0, 1))
        return dde.grad.jacobian(u, x, i=0, j=2) - diffusivity * (u_xx + u_yy)

    geom = dde.geometry.GeometryXTime(
        dde.geometry.Rectangle([0, 0], [1, 1]), dde.geometry.TimeDomain(0, 1)
    )
    conditions = [
        dde.icbc.DirichletBC(geom, constant(0), edge(0, 0)),
        dde.icbc.DirichletBC(geom, constant(1), edge(0, 1)),
        dde.icbc.NeumannBC(geom, constant(0), edge(1, 1)),
        dde.icbc.NeumannBC(geom, constant(0), edge(1, 0)),
        dde.icbc.IC(geom, lambda x: np.maximum(0, 2 * x[:, 0:1] - 1), everywhere),
    ]
    data = dde.data.TimePDE(
        geom,
        pde,
        conditions,
        num_domain=500,
        num_boundary=150,
        num_initial=150,
        train_distribution="pseudo",  # others have a corner, which has no normal
    )
    net = dde.nn.FNN([3] + [60] * 5 + [1], "tanh", "Glorot uniform")
    net.apply_output_transform(lambda _, u: torch.abs(u))
    return Setup(data, net, grid([0, 0, 0], [1, 1, 1], 31), on_arrays(exact), exact)


@cache
def stream_solution(growth: float, height: float, nodes: int = 97) -> OnArrays:
    """u_t = -u_x + 0.01 u_xx + growth u (1 - u) from height sin(pi x), 0 at both ends."""
    return solve(
        lambda x, u, u_x, u_xx: 0.01 * u_xx - u_x + growth * u * (1 - u),
        lambda x: height * np.sin(np.pi * x),
        (0, 1),
        1,
        (_FIXED, _FIXED),
        nodes,
    )


def _stream(growth: float, height: float) -> Setup:
    def pde(x: Tensor, u: Tensor) -> Tensor:
        u_t, u_x, u_xx = rates(x, u)
        return u_t + u_x - 0.01 * u_xx - growth * u * (1 - u)

    geom = span(1)
    conditions = [
        dde.icbc.DirichletBC(geom, constant(0), everywhere),
        dde.icbc.IC(geom, lambda x: height * np.sin(np.pi * x[:, 0:1]), everywhere),
    ]
    data = dde.data.TimePDE(
        geom, pde, conditions, num_domain=600, num_boundary=100, num_initial=100
    )
    net = dde.nn.FNN([2] + [64] * 6 + [1], "tanh", "Glorot uniform")
    places = grid([0, 0], [1, 1], 101)
    return Setup(data, net, places, lambda x: stream_solution(growth, height)(x))


def convection_diffusion() -> Setup:
    """u_t + u_x = 0.01 u_xx on [0, 1]^2 from sin(pi x), u = 0 at both ends: a layer on the right.

    3000, 300 and 300 points of the script: 600, 100 and 100; 10000 iterations: 8000. L-BFGS
    follows there.
    """
    return _stream(0.0, 1.0)


def fisher_in_stream() -> Setup:
    """u_t + u_x = 0.01 u_xx + u (1 - u) on [0, 1]^2 from sin(pi x) / 2, u = 0 at both ends.

    Without the 5000 iterations on an easier equation that come first in the script, and L-BFGS at
    the end. 4000, 400 and 400 points: 600, 100 and 100; 10000 iterations: 8000.
    """
    return _stream(1.0, 0.5)


def _front(x: np.ndarray) -> np.ndarray:
    return (1 + np.tanh((x - 0.95) / 0.02)) / 2


def _held(concentration: np.ndarray) -> np.ndarray:
    """1 + dq/dC of Langmuir's isotherm."""
    return 1 + 45 / (1 + 10 * concentration) ** 2


@cache
def adsorption_solution(nodes: int = 97) -> OnArrays:
    ends = End(value=0, slope=1, given=0), End(value=1, slope=0, given=1)
    return solve(lambda x, u, u_x, u_xx: 0.1 * u_xx / _held(u), _front, (0, 1), 1, ends, nodes)


def adsorption() -> Setup:
    """C_t + q_t = 0.1 C_xx in a particle that adsorbs, q = 45 C / (1 + 10 C), on [0, 1]^2.

    No flux at x = 0, C = 1 at x = 1, and a front at x = 0.95 at first, which goes in slowly. The
    script draws its residual points anew now and then; here they stay. 2048, 256 and 512 points:
    700, 100 and 200; 12000 iterations: 10000. L-BFGS follows there. Where the untrained network
    gives C = -0.1, the residual has a pole.
    """

    def pde(x: Tensor, u: Tensor) -> Tensor:
        u_t, _, u_xx = rates(x, u)
        return u_t - 0.1 * u_xx + 45 / (1 + 10 * u) ** 2 * u_t

    geom = span(1)
    conditions = [
        dde.icbc.NeumannBC(geom, constant(0), edge(0, 0)),
        dde.icbc.DirichletBC(geom, constant(1), edge(0, 1)),
        dde.icbc.IC(geom, lambda x: _front(x[:, 0:1]), everywhere),
    ]
    data = dde.data.TimePDE(
        geom,
        pde,
        conditions,
        num_domain=700,
        num_boundary=100,
        num_initial=200,
    )
    net = dde.nn.FNN([2] + [64] * 4 + [1], "tanh", "Glorot normal")
    return Setup(data, net, grid([0, 0], [1, 1], 101), lambda x: adsorption_solution()(x))


#: Pennes's equation in units of the tissue's depth (5 cm) and of half an hour.
_STORED = 940 * 2500 / 5 * 0.05**2 / 1800
_PERFUSION = 0.05**2 * 3825 / 5 * (0.45 + 3 * 3.55 / 7)
_METABOLISM = 4200 * 0.05**2 / (5 * 8)


@cache
def bioheat_solution(nodes: int = 97) -> OnArrays:
    return solve(
        lambda x, u, u_x, u_xx: (u_xx - _PERFUSION * u + _METABOLISM) / _STORED,
        np.zeros_like,
        (0, 1),
        2,
        (_FIXED, End(value=0, slope=1, given=-1)),
        nodes,
    )


def bioheat() -> Setup:
    """Tissue with blood, 0.65 T_t = T_xx - 3.77 T + 0.26 on [0, 1] for 0 < t < 2, cooled.

    T = 0 at x = 0 and at first, T_x = -1 at x = 1: a jump of the slope. The network has one hidden
    layer with ELU, whose second derivative jumps. 2560 residual points of the script: 1500.
    """

    def pde(x: Tensor, u: Tensor) -> Tensor:
        u_t, _, u_xx = rates(x, u)
        return _STORED * u_t - u_xx + _PERFUSION * u - _METABOLISM

    geom = span(2)
    conditions = [
        dde.icbc.DirichletBC(geom, constant(0), edge(0, 0)),
        dde.icbc.NeumannBC(geom, constant(-1), edge(0, 1)),
        dde.icbc.IC(geom, constant(0), everywhere),
    ]
    data = dde.data.TimePDE(
        geom, pde, conditions, num_domain=1500, num_boundary=100, num_initial=160
    )
    net = dde.nn.FNN([2, 30, 1], "elu", "Glorot normal")
    return Setup(data, net, grid([0, 0], [1, 2], 101), lambda x: bioheat_solution()(x))
