"""Data alone: no equation that the solution satisfies."""

from __future__ import annotations

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

from .setup import Setup, grid, on_arrays

#: Standard deviation of the second data set's noise.
NOISE = 0.5


def regression_two_data_sets() -> Setup:
    """Forrester's function (6 x - 2)^2 sin(12 x - 4) from two data sets.

    Eight exact values and sixty noisy ones. The residual is no equation but a weak prior: 1e-4
    u'', small where u is smooth. The noise is the same for every seed.
    """

    def exact(x: Tensor) -> Tensor:
        return (6 * x - 2) ** 2 * torch.sin(12 * x - 4)

    def prior(x: Tensor, u: Tensor) -> Tensor:
        return 1e-4 * dde.grad.hessian(u, x)

    solution = on_arrays(exact)
    precise, many = np.linspace(0, 1, 8)[:, None], np.linspace(0, 1, 60)[:, None]
    noisy = solution(many) + NOISE * np.random.default_rng(0).standard_normal((60, 1))
    conditions = [
        dde.icbc.PointSetBC(precise, solution(precise)),
        dde.icbc.PointSetBC(many, noisy),
    ]
    data = dde.data.PDE(dde.geometry.Interval(0, 1), prior, conditions, num_domain=100)
    net = dde.nn.FNN([1] + [32] * 3 + [1], "tanh", "Glorot normal")
    return Setup(data, net, grid([0], [1], 1001), solution, exact)
