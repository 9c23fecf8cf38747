"""Users' problems: unknown coefficients, an eigenvalue, and a field from measured values."""

from __future__ import annotations

from dataclasses import dataclass

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

from .setup import Setup, grid, on_arrays
from .users_steady import laplacian

#: Standard deviation of the noise, that of the potential's largest value.
CHARGE_NOISE = 0.1


@dataclass(frozen=True)
class Halves(Setup):
    """Two outputs of which each counts in one half of [0, 1]."""

    def error(self, model: dde.Model) -> float:
        """The relative L2 error, of the first output left of the middle, of the second right."""
        left = self.points < 0.5
        predicted, true = model.predict(self.points), self.solution(self.points)
        wrong = np.where(left, (predicted - true)[:, :1], (predicted - true)[:, 1:])
        whole = np.where(left, true[:, :1], true[:, 1:])
        return float(np.linalg.norm(wrong) / np.linalg.norm(whole))


def reactor_two_regions() -> Setup:
    """Neutrons in two regions, -(D phi')' + S phi = phi / k on [0, 1], with k unknown.

    D = 1 / pi, S = 10/9 - pi/4 left of the middle, D = 1 / (2 pi), S = 10/9 + pi/2 right of it,
    an output each. In the middle the outputs and their fluxes meet. phi' = 0 on the left, no
    neutron comes in on the right (phi' + pi phi = 0), and phi(0.2) = 1; k = 0.9.
    50000 iterations of the script: 20000.
    """
    eigenvalue = dde.Variable(1.0)

    def exact(x: Tensor) -> Tensor:
        left = torch.cos(torch.pi / 2 * x)
        right = np.cos(np.pi / 4) * torch.exp(torch.pi * (0.5 - x))
        return torch.cat([left, right], dim=1) / np.cos(np.pi / 10)

    def pde(x: Tensor, phi: Tensor) -> list[Tensor]:
        left, right = (dde.grad.hessian(phi, x, component=i) for i in (0, 1))
        source = 10 / 9 - 1 / eigenvalue
        of_left = -left / torch.pi + (source - torch.pi / 4) * phi[:, 0:1]
        of_right = -right / (2 * torch.pi) + (source + torch.pi / 2) * phi[:, 1:2]
        inside = x < 0.5
        zero = torch.zeros_like(x)
        return [torch.where(inside, of_left, zero), torch.where(inside, zero, of_right)]

    def slopes(x: Tensor, phi: Tensor) -> tuple[Tensor, Tensor]:
        return dde.grad.jacobian(phi, x, i=0), dde.grad.jacobian(phi, x, i=1)

    def jump(x: Tensor, phi: Tensor, _: np.ndarray) -> Tensor:
        return phi[:, 0:1] - phi[:, 1:2]

    def jump_of_flux(x: Tensor, phi: Tensor, _: np.ndarray) -> Tensor:
        left, right = slopes(x, phi)
        return left / torch.pi - right / (2 * torch.pi)

    def mirror(x: Tensor, phi: Tensor, _: np.ndarray) -> Tensor:
        return slopes(x, phi)[0]

    def vacuum(x: Tensor, phi: Tensor, _: np.ndarray) -> Tensor:
        return slopes(x, phi)[1] + torch.pi * phi[:, 1:2]

    def fixed(x: Tensor, phi: Tensor, _: np.ndarray) -> Tensor:
        return phi[:, 0:1] - 1

    bcs = [
        dde.icbc.PointSetOperatorBC(np.array([[place]]), np.zeros((1, 1)), condition)
        for place, condition in (
            (0.5, jump),
            (0.5, jump_of_flux),
            (0.0, mirror),
            (1.0, vacuum),
            (0.2, fixed),
        )
    ]
    data = dde.data.PDE(dde.geometry.Interval(0, 1), pde, bcs, num_domain=400)
    net = dde.nn.FNN([1] + [50] * 2 + [2], "tanh", "Glorot normal")
    return Halves(
        data,
        net,
        grid([0], [1], 1001),
        on_arrays(exact),
        exact,
        compile={"external_trainable_variables": [eigenvalue]},
        variables={"k": eigenvalue},
        true_values={"k": 0.9},
    )


def charge_transport() -> Setup:
    """-phi_xx = rho and rho_t = D rho_xx - rho / 2 on [-1, 1] x [0, 1], D from values of phi.

    phi has noise of 10 %; no condition but those values. D = 0.01 starts at 0.02, one of the
    starts that the script tries. 51 x 101 values and 2000 points: 11 x 21 and 400; the noise is
    the same for every seed.
    """
    diffusivity = dde.Variable(0.02)

    def exact(x: Tensor) -> Tensor:
        decay = torch.exp(-(0.01 * torch.pi**2 + 0.5) * x[:, 1:2])
        phi = torch.sin(torch.pi * x[:, 0:1]) * decay
        return torch.cat([phi, torch.pi**2 * phi], dim=1)

    def pde(x: Tensor, y: Tensor) -> list[Tensor]:
        phi_xx, rho_xx = (dde.grad.hessian(y, x, component=i, i=0, j=0) for i in (0, 1))
        rho, rho_t = y[:, 1:2], dde.grad.jacobian(y, x, i=1, j=1)
        return [-phi_xx - rho, rho_t - diffusivity * rho_xx + 0.5 * rho]

    geom = dde.geometry.GeometryXTime(dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 1))
    where = np.stack(
        np.meshgrid(np.linspace(-1, 1, 11), np.linspace(0, 1, 21), indexing="ij"), axis=-1
    ).reshape(-1, 2)
    noise = CHARGE_NOISE * np.random.default_rng(0).standard_normal((len(where), 1))
    measured = on_arrays(exact)(where)[:, :1] + noise
    data = dde.data.TimePDE(
        geom,
        pde,
        [dde.icbc.PointSetBC(where, measured, component=0)],
        num_domain=400,
        anchors=where,
    )
    net = dde.nn.PFNN([2] + [[64, 64]] * 4 + [2], "tanh", "Glorot uniform")
    return Setup(
        data,
        net,
        grid([-1, 0], [1, 1], 101),
        on_arrays(exact),
        exact,
        compile={"external_trainable_variables": [diffusivity]},
        variables={"D": diffusivity},
        true_values={"D": 0.01},
    )


def room_sound() -> Setup:
    """Helmholtz's equation for a tone of 40 Hz in a room of 7.11 m x 5.43 m, from measured values.

    Real and imaginary part of the pressure at 16 x 16 places, without noise, and no condition at
    the walls. The script takes a recording; here it is a wave that goes across the room, and a
    weaker one that comes back. 32 x 32 places and 5000 points of the script: 16 x 16 and 600.
    """
    wavenumber = 2 * np.pi * 40 / 343.0
    # Directions, amplitudes and phases of the two plane waves.
    waves = ((0.4, 1.0, 0.0), (2.6, 0.6, 1.1))
    width, depth = 7.11, 5.43

    def exact(x: Tensor) -> Tensor:
        real, imaginary = torch.zeros_like(x[:, 0:1]), torch.zeros_like(x[:, 0:1])
        for angle, amplitude, shift in waves:
            along = np.cos(angle) * x[:, 0:1] + np.sin(angle) * x[:, 1:2]
            real = real + amplitude * torch.cos(wavenumber * along + shift)
            imaginary = imaginary + amplitude * torch.sin(wavenumber * along + shift)
        return torch.cat([real, imaginary], dim=1)

    def pde(x: Tensor, y: Tensor) -> list[Tensor]:
        return [-laplacian(x, y, i) - wavenumber**2 * y[:, i : i + 1] for i in (0, 1)]

    where = grid([0, 0], [1, 1], 16) * [width, depth]
    measured = on_arrays(exact)(where)
    bcs = [dde.icbc.PointSetBC(where, measured[:, i : i + 1], component=i) for i in (0, 1)]
    geom = dde.geometry.Rectangle([0, 0], [width, depth])
    data = dde.data.PDE(geom, pde, bcs, num_domain=600, anchors=where)
    net = dde.nn.FNN([2] + [50] * 3 + [2], "tanh", "Glorot uniform")
    return Setup(data, net, grid([0, 0], [width, depth], 101), on_arrays(exact), exact)
