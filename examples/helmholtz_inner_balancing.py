"""Inner-balancing: the Helmholtz equation u_xx + u_yy + u = q on [-1, 1]^2, u = 0 on its boundary.

There is one kind of condition, and so nothing to balance between conditions. Therefore the
boundary is split into its x-sides and its y-sides.
"""

import deepxde as dde
import numpy as np
import torch

import deepxde_balance as ddb

ITERATIONS = 10000


def exact(x):
    return np.sin(np.pi * x[:, 0:1]) * np.sin(4 * np.pi * x[:, 1:2])


def pde(x, u):
    u_xx = dde.grad.hessian(u, x, i=0, j=0)
    u_yy = dde.grad.hessian(u, x, i=1, j=1)
    q = (1 - 17 * np.pi**2) * torch.sin(np.pi * x[:, 0:1]) * torch.sin(4 * np.pi * x[:, 1:2])
    return u_xx + u_yy + u - q


geom = dde.geometry.Rectangle([-1, -1], [1, 1])
bc = dde.icbc.DirichletBC(geom, lambda x: 0, lambda _, on_boundary: on_boundary)
sides = ddb.split_bc(bc, "axis")  # {"x": the sides x = -1 and x = 1, "y": the other two}
data = dde.data.PDE(geom, pde, list(sides.values()), num_domain=2500, num_boundary=400)
net = dde.nn.FNN([2] + [50] * 4 + [1], "tanh", "Glorot normal")

model = ddb.Model(data, net)
model.compile("adam", lr=1e-3, loss_weights=ddb.DB("mean", update_every=10), loss_groups=sides)
losshistory, train_state = model.train(iterations=ITERATIONS)

x = geom.uniform_points(10000)
print("L2 relative error:", dde.metrics.l2_relative_error(exact(x), model.predict(x)))
print("Weights:", model.weights)
