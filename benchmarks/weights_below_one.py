"""Where the residual is small from the start: weights below 1, and what a lower bound does.

    python benchmarks/weights_below_one.py heat burgers

A heat equation as a first script has it, and Burgers' equation with a tenth of its paper's points.
Ratios below 1 let the conditions go; the residual then shrinks further, and so do the ratios.
Prints the L2 error after 3000 iterations, without and with `min_weight=1`, and the weights.
"""

from __future__ import annotations

import argparse
import os
import warnings
from typing import Any

os.environ.setdefault("DDE_BACKEND", "pytorch")

import deepxde as dde
import numpy as np
import torch

import deepxde_balance as ddb
from deepxde_balance.weightings import spec

ITERATIONS = 3000
STRATEGIES = [
    "dn:update_every=1",
    "dn",
    "dn:update_every=100",
    "db-kurtosis:update_every=1",
    "db-kurtosis:update_every=10",
    "db-kurtosis",
    "gw-mean",
]


def pde(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    return dde.grad.jacobian(u, x, i=0, j=1) - 0.4 * dde.grad.hessian(u, x, i=0, j=0)


def solution(x: np.ndarray) -> np.ndarray:
    return np.exp(-0.4 * np.pi**2 * x[:, 1:2]) * np.sin(np.pi * x[:, 0:1])


def heat(weights: Any, seed: int) -> tuple[float, dict[str, float]]:
    """The L2 error after training, and the weights."""
    dde.config.set_random_seed(seed)
    geom = dde.geometry.GeometryXTime(dde.geometry.Interval(0, 1), dde.geometry.TimeDomain(0, 1))
    bc = dde.icbc.DirichletBC(geom, lambda x: 0, lambda _, on_boundary: on_boundary)
    ic = dde.icbc.IC(geom, solution, lambda _, on_initial: on_initial)
    data = dde.data.TimePDE(geom, pde, [bc, ic], num_domain=400, num_boundary=80, num_initial=160)
    model = ddb.Model(data, dde.nn.FNN([2] + [20] * 3 + [1], "tanh", "Glorot normal"))
    model.compile("adam", lr=1e-3, loss_weights=weights, verbose=0)
    model.train(iterations=ITERATIONS, display_every=ITERATIONS, verbose=0)
    x = np.stack(np.meshgrid(*[np.linspace(0, 1, 101)] * 2), -1).reshape(-1, 2)
    return dde.metrics.l2_relative_error(solution(x), model.predict(x)), model.weights


def burgers(weights: Any, seed: int) -> tuple[float, dict[str, float]]:
    """The L2 error after training, and the weights."""
    problem = ddb.problems.get("burgers", points=0.1, iterations=ITERATIONS)
    model = problem.model(weights, seed=seed, verbose=0)
    problem.train(model, display_every=ITERATIONS, verbose=0)
    return problem.errors(model)["L2RE"], model.weights


PROBLEMS = {"heat": heat, "burgers": burgers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problem", nargs="+", choices=list(PROBLEMS))
    parser.add_argument("--weights", nargs="+", default=STRATEGIES, metavar="NAME")
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
            error, weights = PROBLEMS[name](weighting, given.seed)
            conditions = [f"{k} {v:.3g}" for k, v in weights.items() if not k.startswith("pde")]
            least = "" if min_weight is None else f"{min_weight:g}"
            row = (name, f"`{strategy}`", least, f"{error:.2%}", ", ".join(conditions))
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
