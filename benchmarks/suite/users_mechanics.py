"""Users' problems: beams, oscillators and a reactor's slab, each an ordinary equation."""

from __future__ import annotations

from typing import Any

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

from .ode import at_left, at_right
from .setup import Setup, everywhere, grid, on_arrays


def constant(value: float) -> Any:
    """A condition's value, the same at every point."""
    return lambda x: np.full((len(x), 1), value)


def speed(t: Tensor, u: Tensor, _: np.ndarray) -> Tensor:
    """du/dt, or du/dx, for an OperatorBC that asks it to be 0."""
    return dde.grad.jacobian(u, t)


def beam_timoshenko() -> Setup:
    """A cantilever that shears: 5 (w'' - phi') = 1 and phi'' + 5 (w' - phi) = 0 on [0, 1].

    w = phi = 0 on the left, no moment (phi' = 0) and no shear (w' = phi) on the right. The script
    has weights 1, 1, 10, 10, 5, 5, and trains without them; L-BFGS follows there.
    """
    stiffness = 5.0

    def exact(x: Tensor) -> Tensor:
        bent = -(x**4) / 24 + x**3 / 6 - x**2 / 4
        sheared = (x**2 / 2 - x) / stiffness
        return torch.cat([bent + sheared, -(x**3) / 6 + x**2 / 2 - x / 2], dim=1)

    def pde(x: Tensor, y: Tensor) -> list[Tensor]:
        w_x, phi_x = (dde.grad.jacobian(y, x, i=i) for i in (0, 1))
        w_xx, phi_xx = (dde.grad.hessian(y, x, component=i) for i in (0, 1))
        return [stiffness * (w_xx - phi_x) - 1, phi_xx + stiffness * (w_x - y[:, 1:2])]

    def moment(x: Tensor, y: Tensor, _: np.ndarray) -> Tensor:
        return dde.grad.jacobian(y, x, i=1)

    def shear(x: Tensor, y: Tensor, _: np.ndarray) -> Tensor:
        return dde.grad.jacobian(y, x, i=0) - y[:, 1:2]

    geom = dde.geometry.Interval(0, 1)
    bcs = [
        dde.icbc.DirichletBC(geom, constant(0), at_left, component=0),
        dde.icbc.DirichletBC(geom, constant(0), at_left, component=1),
        dde.icbc.OperatorBC(geom, moment, at_right),
        dde.icbc.OperatorBC(geom, shear, at_right),
    ]
    data = dde.data.PDE(geom, pde, bcs, num_domain=60, num_boundary=2)
    net = dde.nn.FNN([1] + [30] * 3 + [2], "tanh", "Glorot uniform")
    return Setup(data, net, grid([0], [1], 1001), on_arrays(exact), exact)


def beam_clamped() -> Setup:
    """EI w'''' = q on [0, 1] m, an aluminium strip clamped at both ends, in SI units.

    EI = 14.58 N m^2; q is a force of 100 N around the middle, a Gaussian of standard deviation
    1 cm. w is given and w' at each end. The script has no weights; L-BFGS follows there. 400
    residual points and 8000 iterations of the script: 200 and 6000.
    """
    rigidity, force, width = 70e9 * 0.02 * 0.005**3 / 12, 100.0, 0.01

    def density(z: Tensor) -> Tensor:
        return torch.exp(-((z / width) ** 2) / 2) / (np.sqrt(2 * np.pi) * width)

    def integrals(z: Tensor) -> tuple[Tensor, Tensor]:
        """The third and the fourth integral of the density, from minus infinity."""
        n, below = density(z), (1 + torch.erf(z / (np.sqrt(2) * width))) / 2
        v = width**2
        return (
            ((z**2 + v) * below + z * v * n) / 2,
            ((z**3 + 3 * v * z) * below + (z**2 + 2 * v) * v * n) / 6,
        )

    ends = torch.tensor([[-0.5], [0.5]], dtype=torch.float64)
    slopes, values = (force / rigidity * part.flatten() for part in integrals(ends))
    # The cubic that is added: its values and slopes at x = 0 and x = 1.
    rows = [[1, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 0], [0, 1, 2, 3]]
    a, b, c, d = np.linalg.solve(np.array(rows, float), -torch.cat([values, slopes]).numpy())

    def exact(x: Tensor) -> Tensor:
        return force / rigidity * integrals(x - 0.5)[1] + a + x * (b + x * (c + x * d))

    def pde(x: Tensor, w: Tensor) -> Tensor:
        w_xxxx = dde.grad.hessian(dde.grad.hessian(w, x), x)
        return rigidity * w_xxxx - force * density(x - 0.5)

    geom = dde.geometry.Interval(0, 1)
    bcs = [
        dde.icbc.DirichletBC(geom, constant(0), at_left),
        dde.icbc.DirichletBC(geom, constant(0), at_right),
        dde.icbc.OperatorBC(geom, speed, at_left),
        dde.icbc.OperatorBC(geom, speed, at_right),
    ]
    data = dde.data.PDE(geom, pde, bcs, num_domain=200, num_boundary=20)
    net = dde.nn.FNN([1] + [64] * 3 + [1], "tanh", "Glorot uniform")
    return Setup(data, net, grid([0], [1], 1001), on_arrays(exact), exact)


def oscillator_underdamped() -> Setup:
    """u'' + 4 u' + 400 u = 0 on [0, 2] from u = 1, u' = 0: six periods.

    The script goes on with 40 rounds of 1000 iterations on new points, which are left out.
    """
    return _oscillator(4.0, 400.0, 2.0, 98, [1] + [32] * 3 + [1])


def oscillator_damped() -> Setup:
    """u'' + 0.5 u' + 10 u = 0 on [0, 10] from u = 1, u' = 0: five periods.

    The learning rate of 0.01 decays to an eighth of it in the course of 20000 iterations.
    """
    decay = {"decay": ("inverse time", 2500, 0.9)}
    return _oscillator(0.5, 10.0, 10.0, 200, [1] + [50] * 3 + [1], decay)


def _oscillator(
    damping: float,
    stiffness: float,
    duration: float,
    points: int,
    layers: list[int],
    compile: dict[str, Any] | None = None,
) -> Setup:
    frequency = np.sqrt(stiffness - damping**2 / 4)

    def exact(t: Tensor) -> Tensor:
        wave = torch.cos(frequency * t) + damping / (2 * frequency) * torch.sin(frequency * t)
        return torch.exp(-damping / 2 * t) * wave

    def ode(t: Tensor, u: Tensor) -> Tensor:
        return dde.grad.hessian(u, t) + damping * dde.grad.jacobian(u, t) + stiffness * u

    geom = dde.geometry.TimeDomain(0, duration)
    conditions = [
        dde.icbc.IC(geom, constant(1), everywhere),
        dde.icbc.OperatorBC(geom, speed, at_left),
    ]
    data = dde.data.PDE(geom, ode, conditions, num_domain=points, num_boundary=2)
    net = dde.nn.FNN(layers, "tanh", "Glorot uniform")
    places = grid([0], [duration], 1001)
    return Setup(data, net, places, on_arrays(exact), exact, compile=compile or {})


def critical_slab() -> Setup:
    """phi'' + pi^2 phi = 0 on [-1/2, 1/2]: a reactor's neutrons, the eigenvalue being known.

    phi = 0 at both ends, and phi = 0.5 in the middle, without which phi = 0 solves it too.
    """

    def exact(x: Tensor) -> Tensor:
        return torch.cos(torch.pi * x) / 2

    def pde(x: Tensor, phi: Tensor) -> Tensor:
        return dde.grad.hessian(phi, x) + np.pi**2 * phi

    geom = dde.geometry.Interval(-0.5, 0.5)
    middle = np.zeros((1, 1))
    bcs = [
        dde.icbc.DirichletBC(geom, constant(0), everywhere),
        dde.icbc.PointSetBC(middle, np.full((1, 1), 0.5)),
    ]
    data = dde.data.PDE(geom, pde, bcs, num_domain=898, num_boundary=2, anchors=middle)
    net = dde.nn.FNN([1] + [20] * 3 + [1], "tanh", "Glorot uniform")
    return Setup(data, net, grid([-0.5], [0.5], 1001), on_arrays(exact), exact)
