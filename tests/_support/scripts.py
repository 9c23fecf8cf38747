"""Small DeepXDE problems as users write them, for the tests."""

import deepxde as dde
import numpy as np
import torch


def network(layers=(2, 8, 8, 1), seed=0, **kwargs):
    dde.config.set_random_seed(seed)
    return dde.nn.FNN(list(layers), "tanh", "Glorot normal", **kwargs)


def klein_gordon_residual(x, u):
    u_xx = dde.grad.hessian(u, x, i=0, j=0)
    u_tt = dde.grad.hessian(u, x, i=1, j=1)
    return u_tt - u_xx + u**3


def exact(x):
    return x[:, 0:1] * np.cos(5 * np.pi * x[:, 1:2]) + (x[:, 0:1] * x[:, 1:2]) ** 3


def klein_gordon(num_test=None, solution=None, pde=klein_gordon_residual, extra=(), num_domain=40):
    """DirichletBC, IC on u and an OperatorBC on u_t at t = 0; the same points in every call."""
    dde.config.set_random_seed(42)
    geom = dde.geometry.GeometryXTime(dde.geometry.Interval(0, 1), dde.geometry.TimeDomain(0, 1))
    bc = dde.icbc.DirichletBC(geom, exact, lambda _, on: on)
    ic = dde.icbc.IC(geom, exact, lambda _, on: on)
    ic_t = dde.icbc.OperatorBC(
        geom,
        lambda x, u, _: dde.grad.jacobian(u, x, i=0, j=1),
        lambda x, _: np.isclose(x[1], 0),
    )
    return dde.data.TimePDE(
        geom,
        pde,
        [bc, ic, ic_t, *extra],
        num_domain=num_domain,
        num_boundary=12,
        num_initial=9,
        num_test=num_test,
        solution=solution,
    )


def laplace(geom=None, bcs=None, **kwargs):
    """u_xx + u_yy = 0 on the unit square: the residual does not depend on the last bias."""
    geom = geom or dde.geometry.Rectangle([0, 0], [1, 1])
    bcs = bcs or [dde.icbc.DirichletBC(geom, lambda x: x[:, 0:1] * x[:, 1:2], lambda _, on: on)]
    points = {"num_domain": 30, "num_boundary": 24} | kwargs
    return dde.data.PDE(geom, laplace_residual, bcs, **points)


def laplace_residual(x, u):
    return dde.grad.hessian(u, x, i=0, j=0) + dde.grad.hessian(u, x, i=1, j=1)


def parameters_of(model):
    return torch.cat([p.detach().reshape(-1) for p in model.net.parameters()])
