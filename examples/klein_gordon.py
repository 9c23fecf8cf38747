"""The Klein-Gordon equation with adaptive loss weights: u_tt - u_xx + u^3 = f on [0, 1]^2.

This is a DeepXDE script. The two comments "was ..." mark the lines that differ.
"""

import deepxde as dde
import numpy as np
import torch

import deepxde_balance as ddb

ITERATIONS = 10000


def exact(x):
    x, t = x[:, 0:1], x[:, 1:2]
    return x * np.cos(5 * np.pi * t) + (x * t) ** 3


def pde(x, u):
    u_xx = dde.grad.hessian(u, x, i=0, j=0)
    u_tt = dde.grad.hessian(u, x, i=1, j=1)
    x, t = x[:, 0:1], x[:, 1:2]
    wave = x * torch.cos(5 * np.pi * t)
    f = -25 * np.pi**2 * wave + 6 * x**3 * t - 6 * x * t**3 + (wave + (x * t) ** 3) ** 3
    return u_tt - u_xx + u**3 - f


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

model = ddb.Model(data, net)  # was dde.Model(data, net)
model.compile(
    "adam",
    lr=1e-3,
    loss_weights="auto",  # was a list of numbers
    loss_groups={"bc": [bc], "ic": [ic, ic_t]},  # optional: u and u_t at t = 0 share a weight
)
losshistory, train_state = model.train(iterations=ITERATIONS)

x = np.random.rand(10000, 2)
print("L2 relative error:", dde.metrics.l2_relative_error(exact(x), model.predict(x)))
print("Weights:", model.weights)
