"""Where the residual is small from the start: weights below 1, and what a lower bound does.

    python benchmarks/weights_below_one.py heat burgers
    python benchmarks/weights_below_one.py burgers --iterations 15000 --weights dn gw-mean

A heat equation as a first script has it, and Burgers' equation as in DeepXDE's documentation.
Ratios below 1 let the conditions go; the residual then shrinks further, and so do the ratios.
Prints the L2 error at the end, without and with `min_weight=1`, and the weights.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("DDE_BACKEND", "pytorch")

import deepxde as dde
import numpy as np
import torch

import deepxde_balance as ddb
from deepxde_balance import Model
from deepxde_balance.weightings import spec

STRATEGIES = [
    "dn:update_every=1",
    "dn",
    "dn:update_every=100",
    "db-kurtosis:update_every=1",
    "db-kurtosis:update_every=10",
    "db-kurtosis",
    "gw-mean",
]


def train(data: dde.data.PDE, weights: Any, iterations: int) -> Model:
    net = dde.nn.FNN([2] + [20] * 3 + [1], "tanh", "Glorot normal")
    model = ddb.Model(data, net)
    model.compile("adam", lr=1e-3, loss_weights=weights, verbose=0)
    model.train(iterations=iterations, display_every=iterations, verbose=0)
    return model


def error(model: Model, solution: Callable[[np.ndarray], np.ndarray]) -> float:
    """The relative L2 error on a grid over the data's space and time."""
    geometry = model.data.geom
    space, time = geometry.geometry, geometry.timedomain
    axes = np.linspace(space.l, space.r, 201), np.linspace(time.t0, time.t1, 101)
    x = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    return dde.metrics.l2_relative_error(solution(x), model.predict(x))


def heat(weights: Any, iterations: int) -> tuple[float, dict[str, float]]:
    """The L2 error after training, and the weights."""

    def pde(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        return dde.grad.jacobian(u, x, i=0, j=1) - 0.4 * dde.grad.hessian(u, x, i=0, j=0)

    def solution(x: np.ndarray) -> np.ndarray:
        return np.exp(-0.4 * np.pi**2 * x[:, 1:2]) * np.sin(np.pi * x[:, 0:1])

    geom = dde.geometry.GeometryXTime(dde.geometry.Interval(0, 1), dde.geometry.TimeDomain(0, 1))
    bc = dde.icbc.DirichletBC(geom, lambda x: 0, lambda _, on_boundary: on_boundary)
    ic = dde.icbc.IC(geom, solution, lambda _, on_initial: on_initial)
    data = dde.data.TimePDE(geom, pde, [bc, ic], num_domain=400, num_boundary=80, num_initial=160)
    model = train(data, weights, iterations)
    return error(model, solution), model.weights


def burgers(weights: Any, iterations: int) -> tuple[float, dict[str, float]]:
    """The L2 error after training, and the weights."""

    def pde(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        u_x, u_t = (dde.grad.jacobian(u, x, i=0, j=j) for j in (0, 1))
        return u_t + u * u_x - 0.01 / np.pi * dde.grad.hessian(u, x, i=0, j=0)

    space, time = dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 0.99)
    geom = dde.geometry.GeometryXTime(space, time)
    bc = dde.icbc.DirichletBC(geom, lambda x: 0, lambda _, on_boundary: on_boundary)
    ic = dde.icbc.IC(geom, lambda x: -np.sin(np.pi * x[:, :1]), lambda _, on_initial: on_initial)
    data = dde.data.TimePDE(geom, pde, [bc, ic], num_domain=2540, num_boundary=80, num_initial=160)
    model = train(data, weights, iterations)
    return error(model, ddb.problems.get("burgers").solution), model.weights


PROBLEMS = {"heat": heat, "burgers": burgers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problem", nargs="+", choices=list(PROBLEMS))
    parser.add_argument("--weights", nargs="+", default=STRATEGIES, metavar="NAME")
    parser.add_argument("--iterations", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print("| problem | strategy | min_weight | L2RE | weights |\n|---|---|---|---:|---|")
    for name in given.problem:
        runs: list[tuple[str, float | None]] = [("equal", None)]
        runs += [(strategy, least) for strategy in given.weights for least in (None, 1.0)]
        for strategy, min_weight in runs:
            preset, parameters = spec.parse(strategy)
            if min_weight is not None:
                parameters["min_weight"] = min_weight
            weighting = ddb.weightings.get(preset, **parameters)
            dde.config.set_random_seed(given.seed)
            l2re, weights = PROBLEMS[name](weighting, given.iterations)
            conditions = [f"{k} {v:.3g}" for k, v in weights.items() if not k.startswith("pde")]
            least = "" if min_weight is None else f"{min_weight:g}"
            row = (name, f"`{strategy}`", least, f"{l2re:.2%}", ", ".join(conditions))
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
