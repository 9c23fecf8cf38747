"""Where the residual is small from the start: a heat equation, as a first script has it.

    python benchmarks/weights_below_one.py

Ratios below 1 let the conditions go; the residual then shrinks further, and so do the ratios.
Prints the L2 error after 3000 iterations and the weights, seed 0.
"""

from __future__ import annotations

import os
import warnings

os.environ.setdefault("DDE_BACKEND", "pytorch")

import deepxde as dde
import numpy as np
import torch

import deepxde_balance as ddb
from deepxde_balance.weightings import spec

ITERATIONS = 3000
STRATEGIES = [
    "equal",
    "gw-mean",
    "dn",
    "dn:update_every=100",
    "db-kurtosis:update_every=1",
    "db-kurtosis:update_every=10",
    "db-kurtosis",
]


def pde(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    return dde.grad.jacobian(u, x, i=0, j=1) - 0.4 * dde.grad.hessian(u, x, i=0, j=0)


def solution(x: np.ndarray) -> np.ndarray:
    return np.exp(-0.4 * np.pi**2 * x[:, 1:2]) * np.sin(np.pi * x[:, 0:1])


def heat() -> dde.data.TimePDE:
    geom = dde.geometry.GeometryXTime(dde.geometry.Interval(0, 1), dde.geometry.TimeDomain(0, 1))
    bc = dde.icbc.DirichletBC(geom, lambda x: 0, lambda _, on_boundary: on_boundary)
    ic = dde.icbc.IC(geom, solution, lambda _, on_initial: on_initial)
    return dde.data.TimePDE(geom, pde, [bc, ic], num_domain=400, num_boundary=80, num_initial=160)


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    x = np.stack(np.meshgrid(*[np.linspace(0, 1, 101)] * 2), -1).reshape(-1, 2)
    print("| strategy | L2RE | weight of bc | weight of ic |\n|---|---:|---:|---:|")
    for strategy in STRATEGIES:
        dde.config.set_random_seed(0)
        data = heat()
        model = ddb.Model(data, dde.nn.FNN([2] + [20] * 3 + [1], "tanh", "Glorot normal"))
        name, parameters = spec.parse(strategy)
        weighting = ddb.weightings.get(name, **parameters)
        model.compile("adam", lr=1e-3, loss_weights=weighting, verbose=0)
        model.train(iterations=ITERATIONS, display_every=ITERATIONS, verbose=0)
        error = dde.metrics.l2_relative_error(solution(x), model.predict(x))
        _, bc, ic = model.weights.values()
        print(f"| `{strategy}` | {error:.2%} | {bc:.3g} | {ic:.3g} |", flush=True)


if __name__ == "__main__":
    main()
