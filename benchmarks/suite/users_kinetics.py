"""Users' problems: reactions and populations, systems of ordinary equations of first order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import deepxde as dde
import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from .setup import OnArrays, Setup, everywhere, grid
from .users_mechanics import constant

#: Bound on the relative L2 error of the solutions.
ERROR = 1e-9

Slopes = Callable[[Sequence[Any]], list[Any]]


def integrated(slopes: Slopes, start: Sequence[float], end: float) -> OnArrays:
    """A function from times (N, 1), 0 to `end`, to the solution (N, k) of y' = slopes(y)."""
    solved: Any = solve_ivp(
        lambda _, y: slopes(y), (0, end), start, "DOP853", dense_output=True, rtol=1e-12, atol=1e-14
    )
    return lambda t: solved.sol(t[:, 0].astype(float)).T


def residuals(slopes: Slopes) -> Callable[[Tensor, Tensor], list[Tensor]]:
    """y' - slopes(y), one of each component."""

    def ode(t: Tensor, y: Tensor) -> list[Tensor]:
        components = [y[:, i : i + 1] for i in range(y.shape[1])]
        return [dde.grad.jacobian(y, t, i=i) - slope for i, slope in enumerate(slopes(components))]

    return ode


_FOOD_START = (140.0, 40.0, 1.0, 1.0)


def food_slopes(n: Sequence[Any]) -> list[Any]:
    """A resource that grows by itself, its eater, the eater's hunter, and another hunter."""
    eaten = 1.2 * n[1] * n[0]
    hunted = 0.06 * n[2] * n[1] / (1 + 0.005 * 0.06 * n[1])
    return [
        10 + np.e * n[0] - eaten,
        eaten - 0.008 * n[1] - hunted,
        hunted + 0.01 * n[2] + 0.0005 * n[2] * n[3],
        0.01 * n[3],
    ]


@cache
def food_solution() -> OnArrays:
    return integrated(food_slopes, _FOOD_START, 10)


def food_chain() -> Setup:
    """A food chain of four on [0, 10], in numbers of animals: from 140, 40, 1 and 1.

    The signs are the script's: what should kill the two hunters lets them grow. It draws 1500
    points from the two ends, and so half of the residual's points are there.
    """
    geom = dde.geometry.TimeDomain(0, 10)
    conditions = [
        dde.icbc.IC(geom, constant(value), everywhere, component=i)
        for i, value in enumerate(_FOOD_START)
    ]
    data = dde.data.PDE(
        geom, residuals(food_slopes), conditions, num_domain=1000, num_boundary=1500
    )
    net = dde.nn.FNN([1] + [40] * 5 + [4], "tanh", "Glorot normal")
    return Setup(data, net, grid([0], [10], 1001), lambda t: food_solution()(t))


_WARM_START = (1.0, 3.5)


def batch_slopes(y: Sequence[Any]) -> list[Any]:
    """Of the concentration, mol/l, and of the temperature, in 100 K."""
    exp = torch.exp if isinstance(y[1], Tensor) else np.exp
    rate = 1e8 * exp(-50000 / (8.314 * 100 * y[1])) * y[0]
    return [-rate, (10 * rate - 0.05 * (100 * y[1] - 350)) / 100]


@cache
def batch_solution() -> OnArrays:
    return integrated(batch_slopes, _WARM_START, 10)


def batch_reactor() -> Setup:
    """An exothermic reaction in a cooled vessel for 10 s, with Arrhenius's rate.

    c' = -k c and T' = 10 k c - 0.05 (T - 350), k = 1e8 exp(-50000 / (8.314 T)), from c = 1 and
    T = 350 K; the network gives c and T / 100, the second residual is in K/s.
    """

    def ode(t: Tensor, y: Tensor) -> list[Tensor]:
        # Kept in bounds, as the script does.
        bounded = torch.clamp(y[:, 1:2], 2, 6)
        of_c, of_t = batch_slopes([y[:, 0:1], bounded])
        return [
            dde.grad.jacobian(y, t, i=0) - of_c,
            100 * (dde.grad.jacobian(y, t, i=1) - of_t),
        ]

    geom = dde.geometry.TimeDomain(0, 10)
    conditions = [
        dde.icbc.IC(geom, constant(value), everywhere, component=i)
        for i, value in enumerate(_WARM_START)
    ]
    data = dde.data.PDE(geom, ode, conditions, num_domain=300, num_boundary=2)
    net = dde.nn.FNN([1] + [50] * 3 + [2], "tanh", "Glorot uniform")
    return Setup(data, net, grid([0], [10], 1001), lambda t: batch_solution()(t))
