"""Shows whether the loss terms are balanced, before training and during it.

The problem is Poisson's equation u_xx + u_yy = f on the unit square. Second derivatives of an
oscillating solution are large. The gradient of the residual is then much larger than those of the
boundary conditions, which are hardly learned.
"""

import deepxde as dde
import numpy as np
import torch

import deepxde_balance as ddb

ITERATIONS = 3000


def exact(x):
    return np.sin(2 * np.pi * x[:, 0:1]) * np.cos(2 * np.pi * x[:, 1:2])


def pde(x, u):
    laplacian = dde.grad.hessian(u, x, i=0, j=0) + dde.grad.hessian(u, x, i=1, j=1)
    wave = torch.sin(2 * np.pi * x[:, 0:1]) * torch.cos(2 * np.pi * x[:, 1:2])
    return laplacian + 8 * np.pi**2 * wave


dde.config.set_random_seed(0)
geom = dde.geometry.Rectangle([0, 0], [1, 1])
bc = dde.icbc.DirichletBC(geom, exact, lambda _, on_boundary: on_boundary)
sides = ddb.split_bc(bc, "axis")
data = dde.data.PDE(geom, pde, list(sides.values()), num_domain=1000, num_boundary=400)
net = dde.nn.FNN([2] + [50] * 3 + [1], "tanh", "Glorot normal")
net.apply_feature_transform(lambda x: (x - 0.5) * 12**0.5)  # mean 0, deviation 1

model = ddb.Model(data, net)
model.compile("adam", lr=1e-3)
print(ddb.diagnose(model))

model.compile("adam", lr=1e-3, loss_weights="db-std", loss_groups=sides)
monitor = ddb.GradientMonitor(period=max(ITERATIONS // 10, 1), csv="gradients.csv")
model.train(iterations=ITERATIONS, callbacks=[monitor, ddb.Progress(ITERATIONS)], verbose=0)

print("iteration  " + "  ".join(f"share of {name}" for name in monitor.shares))
for i, step in enumerate(monitor.steps):
    shares = (f"{series[i]:>{9 + len(name)}.1%}" for name, series in monitor.shares.items())
    print(f"{step:9}  " + "  ".join(shares))
x = geom.uniform_points(10000)
print("L2 relative error:", dde.metrics.l2_relative_error(exact(x), model.predict(x)))
