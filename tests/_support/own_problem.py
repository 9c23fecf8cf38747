"""A small problem of a user's own, and runs on it by hand."""

import deepxde as dde
import numpy as np

import deepxde_balance as ddb


def exact(x):
    return 1 + x**2


def build(num_test=None):
    """u'' = 2 on [0, 1] with u(0) = 1 and u'(1) = 2, at random points."""
    geom = dde.geometry.Interval(0, 1)

    def pde(x, u):
        return dde.grad.hessian(u, x) - 2

    left = dde.icbc.DirichletBC(geom, lambda x: 1, lambda x, on: on and x[0] < 0.5)
    right = dde.icbc.NeumannBC(geom, lambda x: 2, lambda x, on: on and x[0] > 0.5)
    points = {"num_domain": 20, "num_boundary": 2, "train_distribution": "pseudo"}
    data = dde.data.PDE(geom, pde, [left, right], num_test=num_test, **points)
    return data, dde.nn.FNN([1, 8, 1], "tanh", "Glorot normal")


def build_with_solution():
    return *build(), {"solution": exact, "points": np.linspace(0, 1, 50)[:, None]}


def by_hand(weights, seed, iterations, display_every=10, **compile_args):
    """The model after training, as a user writes it."""
    dde.config.set_random_seed(seed)
    model = ddb.Model(*build())
    model.compile("adam", lr=1e-3, loss_weights=weights, verbose=0, **compile_args)
    model.train(iterations=iterations, display_every=display_every, verbose=0)
    return model


def l2re(model):
    x = np.linspace(0, 1, 50, dtype=np.float32)[:, None]
    return np.linalg.norm(model.predict(x) - exact(x)) / np.linalg.norm(exact(x))
