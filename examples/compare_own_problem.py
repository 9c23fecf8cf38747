"""Compares several strategies on a problem of your own: here Poisson's equation on an L-shape.

The command line does the same, with `build` alone:
``deepxde-balance compare compare_own_problem.py:build --weights equal auto --seeds 2``.
Stopped and started again, either goes on where it was.
"""

import deepxde as dde
import numpy as np

import deepxde_balance as ddb

ITERATIONS = 2000
SEEDS = 2
STRATEGIES = ["equal", "auto", "db-kurtosis", "dn:beta=0.9"]


def build():
    """Gives the data, the network and, which is optional, the solution to compare with."""
    geom = dde.geometry.Rectangle([-1, -1], [1, 1]) - dde.geometry.Rectangle([0, 0], [2, 2])

    def pde(x, u):
        u_xx, u_yy = (dde.grad.hessian(u, x, i=i, j=i) for i in (0, 1))
        return u_xx + u_yy + 2 * np.pi**2 * (np.pi * x).sin().prod(dim=1, keepdim=True)

    def solution(x):
        return np.sin(np.pi * x).prod(axis=1, keepdims=True)

    bc = dde.icbc.DirichletBC(geom, solution, lambda x, on_boundary: on_boundary)
    data = dde.data.PDE(geom, pde, bc, num_domain=1200, num_boundary=120)
    net = dde.nn.FNN([2, 50, 50, 50, 1], "tanh", "Glorot normal")
    return data, net, {"solution": solution}


if __name__ == "__main__":  # the processes of the runs import this script, too
    results = ddb.compare(build, STRATEGIES, ITERATIONS, SEEDS, jobs=2, out="own_problem")
    print(results.table())
    print(f"Best: {results.best}. Table and figures: own_problem")
