"""Adaptive weights for a stock ``dde.Model``: the wave equation u_tt = 4 u_xx on [0, 1]^2.

A callback weighs the losses where the model's class can't be changed.
"""

import deepxde as dde
import numpy as np

import deepxde_balance as ddb

ITERATIONS = 10000


def exact(x):
    x, t = x[:, 0:1], x[:, 1:2]
    return np.sin(np.pi * x) * np.cos(2 * np.pi * t)


def pde(x, u):
    return dde.grad.hessian(u, x, i=1, j=1) - 4 * dde.grad.hessian(u, x, i=0, j=0)


geom = dde.geometry.GeometryXTime(dde.geometry.Interval(0, 1), dde.geometry.TimeDomain(0, 1))
bc = dde.icbc.DirichletBC(geom, exact, lambda _, on_boundary: on_boundary)
ic = dde.icbc.IC(geom, exact, lambda _, on_initial: on_initial)
ic_t = dde.icbc.OperatorBC(
    geom,
    lambda x, u, _: dde.grad.jacobian(u, x, i=0, j=1),
    lambda x, _: dde.utils.isclose(x[1], 0),
)
data = dde.data.TimePDE(
    geom, pde, [bc, ic, ic_t], num_domain=2000, num_boundary=400, num_initial=200
)
net = dde.nn.FNN([2] + [50] * 3 + [1], "tanh", "Glorot normal")

model = dde.Model(data, net)
model.compile("adam", lr=1e-3)
weighting = ddb.LossWeighting("db-std", loss_groups={"bc": [bc], "ic": [ic, ic_t]})
losshistory, train_state = model.train(iterations=ITERATIONS, callbacks=[weighting])

x = np.random.rand(10000, 2)
print("L2 relative error:", dde.metrics.l2_relative_error(exact(x), model.predict(x)))
print("Weights:", weighting.weights)
