"""Are the loss terms balanced? One look before training, and a record during it.

Poisson's equation u_xx + u_yy = f on the unit square, with an oscillating solution: its residual
is large, and so drowns the boundary.
"""

import deepxde as dde
import numpy as np
import torch

import deepxde_balance as ddb

ITERATIONS = 3000
K = 4


def exact(x):
    return np.sin(K * np.pi * x[:, 0:1]) * np.cos(K * np.pi * x[:, 1:2])


def pde(x, u):
    laplacian = dde.grad.hessian(u, x, i=0, j=0) + dde.grad.hessian(u, x, i=1, j=1)
    wave = torch.sin(K * np.pi * x[:, 0:1]) * torch.cos(K * np.pi * x[:, 1:2])
    return laplacian + 2 * (K * np.pi) ** 2 * wave


geom = dde.geometry.Rectangle([0, 0], [1, 1])
bc = dde.icbc.DirichletBC(geom, exact, lambda _, on_boundary: on_boundary)
sides = ddb.split_bc(bc, "axis")
data = dde.data.PDE(geom, pde, list(sides.values()), num_domain=1000, num_boundary=400)
net = dde.nn.FNN([2] + [50] * 3 + [1], "tanh", "Glorot normal")

model = ddb.Model(data, net)
model.compile("adam", lr=1e-3)
ddb.diagnose(model)

model.compile("adam", lr=1e-3, loss_weights="db-std", loss_groups=sides)
monitor = ddb.GradientMonitor(period=max(ITERATIONS // 10, 1), csv="gradients.csv")
model.train(iterations=ITERATIONS, callbacks=[monitor, ddb.Progress(ITERATIONS)], verbose=0)

print("\niteration  " + "  ".join(f"share of {name}" for name in monitor.shares))
for i, step in enumerate(monitor.steps):
    shares = (f"{series[i]:>{9 + len(name)}.1%}" for name, series in monitor.shares.items())
    print(f"{step:9}  " + "  ".join(shares))
x = geom.uniform_points(10000)
print("L2 relative error:", dde.metrics.l2_relative_error(exact(x), model.predict(x)))
