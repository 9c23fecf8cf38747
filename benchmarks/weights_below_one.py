"""Problems whose residual is small from the start: how a lower bound of the weights helps.

    python benchmarks/weights_below_one.py heat burgers
    python benchmarks/weights_below_one.py burgers --iterations 15000 --weights dn gw-mean

The problems are a plain heat equation, and Burgers' equation as in DeepXDE's documentation. Where
the residual is small, the ratios are below 1 and the conditions count little. The residual then
shrinks further, and so do the ratios. Prints, with and without `min_weight=1`, the L2 error and
the weights at the end, and the first word of the verdict of `diagnose` before training.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Callable

os.environ.setdefault("DDE_BACKEND", "pytorch")

import deepxde as dde
import numpy as np
import torch

import deepxde_balance as ddb
from deepxde_balance.weightings import Weighting, words

STRATEGIES = [
    "dn:update_every=1",
    "dn",
    "dn:update_every=100",
    "db-kurtosis:update_every=1",
    "db-kurtosis:update_every=10",
    "db-kurtosis",
    "gw-mean",
]


Solution = Callable[[np.ndarray], np.ndarray]


def heat() -> tuple[dde.data.TimePDE, Solution]:
    """The data object and the solution of u_t = 0.4 u_xx."""

    def pde(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        return dde.grad.jacobian(u, x, i=0, j=1) - 0.4 * dde.grad.hessian(u, x, i=0, j=0)

    def solution(x: np.ndarray) -> np.ndarray:
        return np.exp(-0.4 * np.pi**2 * x[:, 1:2]) * np.sin(np.pi * x[:, 0:1])

    geom = dde.geometry.GeometryXTime(dde.geometry.Interval(0, 1), dde.geometry.TimeDomain(0, 1))
    bc = dde.icbc.DirichletBC(geom, lambda x: 0, lambda _, on_boundary: on_boundary)
    ic = dde.icbc.IC(geom, solution, lambda _, on_initial: on_initial)
    data = dde.data.TimePDE(geom, pde, [bc, ic], num_domain=400, num_boundary=80, num_initial=160)
    return data, solution


def burgers() -> tuple[dde.data.TimePDE, Solution]:
    """The data object and the solution of Burgers' equation."""

    def pde(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        u_x, u_t = (dde.grad.jacobian(u, x, i=0, j=j) for j in (0, 1))
        return u_t + u * u_x - 0.01 / np.pi * dde.grad.hessian(u, x, i=0, j=0)

    space, time = dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 0.99)
    geom = dde.geometry.GeometryXTime(space, time)
    bc = dde.icbc.DirichletBC(geom, lambda x: 0, lambda _, on_boundary: on_boundary)
    ic = dde.icbc.IC(geom, lambda x: -np.sin(np.pi * x[:, :1]), lambda _, on_initial: on_initial)
    data = dde.data.TimePDE(geom, pde, [bc, ic], num_domain=2540, num_boundary=80, num_initial=160)
    return data, ddb.problems.get("burgers").solution


PROBLEMS = {"heat": heat, "burgers": burgers}


def train(problem: str, weighting: Weighting, iterations: int, seed: int) -> tuple[str, ...]:
    """The L2 error and the weights after training, and the verdict of `diagnose` before it."""
    dde.config.set_random_seed(seed)
    data, solution = PROBLEMS[problem]()
    model = ddb.Model(data, dde.nn.FNN([2] + [20] * 3 + [1], "tanh", "Glorot normal"))
    model.compile("adam", lr=1e-3, loss_weights=weighting, verbose=0)
    verdict = ddb.diagnose(model).verdict
    model.train(iterations=iterations, display_every=iterations, verbose=0)
    space, time = data.geom.geometry, data.geom.timedomain
    axes = np.linspace(space.l, space.r, 201), np.linspace(time.t0, time.t1, 101)
    x = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    error = dde.metrics.l2_relative_error(solution(x), model.predict(x))
    conditions = [f"{k} {v:.3g}" for k, v in model.weights.items() if k != "pde"]
    return f"{error:.2%}", ", ".join(conditions), verdict.split(":")[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problem", nargs="+", choices=list(PROBLEMS))
    parser.add_argument("--weights", nargs="+", default=STRATEGIES, metavar="NAME")
    parser.add_argument("--iterations", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print("| problem | strategy | min_weight | L2RE | weights | diagnosis |")
    print("|---|---|---|---:|---|---|")
    for name in given.problem:
        runs: list[tuple[str, float | None]] = [("equal", None)]
        runs += [(strategy, least) for strategy in given.weights for least in (None, 1.0)]
        for strategy, min_weight in runs:
            preset, parameters = words.parse(strategy)
            if min_weight is not None:
                parameters["min_weight"] = min_weight
            weighting = ddb.weightings.get(preset, **parameters)
            least = "" if min_weight is None else f"{min_weight:g}"
            found = train(name, weighting, given.iterations, given.seed)
            print(f"| {' | '.join((name, f'`{strategy}`', least, *found))} |", flush=True)


if __name__ == "__main__":
    main()
