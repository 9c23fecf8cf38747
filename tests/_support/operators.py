"""A problem whose solution is an operator, as users write it."""

import deepxde as dde
import numpy as np

import deepxde_balance as ddb


def problem(seed, cartesian, batch_size=None):
    """Data and network for u_x = v, for functions v, by a physics-informed DeepONet."""
    dde.config.set_random_seed(seed)
    geom = dde.geometry.Interval(0, 1)
    pde = dde.data.PDE(
        geom,
        lambda x, u, v: dde.grad.jacobian(u, x, j=0) - v,
        dde.icbc.DirichletBC(geom, lambda x: 0 * x, lambda _, on: on),
        num_domain=6,
        num_boundary=2,
        train_distribution="pseudo",
    )
    space, sensors = dde.data.PowerSeries(N=3), np.linspace(0, 1, 4)[:, None]
    if cartesian:
        data = dde.data.PDEOperatorCartesianProd(pde, space, sensors, 5, batch_size=batch_size)
        net = dde.nn.DeepONetCartesianProd([4, 8, 8], [1, 8, 8], "tanh", "Glorot normal")
    else:
        data = dde.data.PDEOperator(pde, space, sensors, 5)
        net = dde.nn.DeepONet([4, 8, 8], [1, 8, 8], "tanh", "Glorot normal")
    return data, net


def operator(seed, cartesian, batch_size=None):
    """The model of `problem`, compiled."""
    model = ddb.Model(*problem(seed, cartesian, batch_size))
    model.compile("adam", lr=1e-3, loss_weights="dn", verbose=0)
    return model
