"""What the code blocks of README.md and docs may use without saying so: a small problem in time."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import deepxde as dde
import numpy as np

import deepxde_balance as ddb

ITERATIONS = 3


def exact(x):
    return np.exp(-x[:, 1:2]) * np.sin(x[:, 0:1])


def pde(x, u):
    """The heat equation, of which `exact` is a solution."""
    return dde.grad.jacobian(u, x, j=1) - dde.grad.hessian(u, x)


def my_problem():
    """Data and network on the page's own geometry."""
    names = problem()
    return names["data"], names["net"]


def problem() -> dict[str, Any]:
    """The names that every page begins with."""
    geom = dde.geometry.GeometryXTime(dde.geometry.Interval(0, 1), dde.geometry.TimeDomain(0, 1))
    bc_left = dde.icbc.DirichletBC(geom, exact, lambda x, on: on and dde.utils.isclose(x[0], 0))
    bc_right = dde.icbc.DirichletBC(geom, exact, lambda x, on: on and dde.utils.isclose(x[0], 1))
    ic_u = dde.icbc.IC(geom, exact, lambda _, on: on)
    ic_ut = dde.icbc.OperatorBC(
        geom,
        lambda x, u, _: dde.grad.jacobian(u, x, j=1) + u,
        lambda x, _: dde.utils.isclose(x[1], 0),
    )
    conditions = [bc_left, bc_right, ic_u, ic_ut]
    data = dde.data.TimePDE(geom, pde, conditions, num_domain=20, num_boundary=8, num_initial=4)
    net = dde.nn.FNN([2, 6, 1], "tanh", "Glorot normal")
    return {
        **{"dde": dde, "ddb": ddb, "np": np, "geom": geom, "pde": pde, "exact": exact},
        **{"bc_left": bc_left, "bc_right": bc_right, "ic_u": ic_u, "ic_ut": ic_ut},
        **{"bc": bc_left, "ic": ic_u, "data": data, "net": net, "model": compiled(data, net)},
        **{"my_problem": my_problem, "build": lambda: (*my_problem(), {"solution": exact})},
    }


def compiled(data, net):
    model = ddb.Model(data, net)
    model.compile("adam", lr=1e-3, verbose=0)
    return model


def shortened(call: Callable[..., Any], **instead: Any) -> Callable[..., Any]:
    """A function that calls `call` with other arguments in place of those given."""
    signature = inspect.signature(call)

    @wraps(call)
    def short(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)  # arguments that are not there are an error
        return call(**given.arguments | instead) if instead else call(*args, **kwargs)

    return short


def short_training(train: Callable[..., Any]) -> Callable[..., Any]:
    """``Model.train`` of a few iterations, which prints nothing."""

    @wraps(train)
    def short(self: dde.Model, iterations: int | None = None, **kwargs: Any) -> Any:
        if iterations is not None:
            iterations = min(iterations, ITERATIONS)
        return train(self, iterations=iterations, **{**kwargs, "verbose": 0})

    return short


def pages(root: Path) -> list[Path]:
    """README.md and the pages of the site, without those that are made from other files."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
