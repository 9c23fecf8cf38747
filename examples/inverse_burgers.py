"""An inverse problem: C1 and C2 of u_t + C1 u u_x - C2 u_xx = 0 from 300 values of u.

Adam trains with adaptive weights, then L-BFGS with the weights at the end of Adam.
"""

import deepxde as dde
import numpy as np

import deepxde_balance as ddb

ITERATIONS = 5000
LBFGS_ITERATIONS = 5000

reference = ddb.problems.get("burgers-inverse").solution  # C1 = 1, C2 = 0.01/pi
C1 = dde.Variable(2.0)
C2 = dde.Variable(0.2)


def pde(x, u):
    u_x = dde.grad.jacobian(u, x, i=0, j=0)
    u_t = dde.grad.jacobian(u, x, i=0, j=1)
    return u_t + C1 * u * u_x - C2 * dde.grad.hessian(u, x, i=0, j=0)


geom = dde.geometry.GeometryXTime(dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 1))
bc = dde.icbc.DirichletBC(geom, lambda x: 0, lambda _, on_boundary: on_boundary)
ic = dde.icbc.IC(geom, lambda x: -np.sin(np.pi * x[:, 0:1]), lambda _, on_initial: on_initial)
x_known = geom.random_points(300)
known = dde.icbc.PointSetBC(x_known, reference(x_known))
data = dde.data.TimePDE(
    geom, pde, [bc, ic, known], num_domain=2000, num_boundary=100, num_initial=100
)
net = dde.nn.FNN([2] + [20] * 8 + [1], "tanh", "Glorot normal")

model = ddb.Model(data, net)
unknown = [C1, C2]
model.compile(
    "adam",
    lr=1e-3,
    loss_weights=ddb.DB("mean", update_every=10),
    loss_groups={"bc": [bc], "ic": [ic], "data": [known]},
    external_trainable_variables=unknown,
)
model.train(iterations=ITERATIONS, callbacks=[ddb.Progress(ITERATIONS)], verbose=0)
print(f"After Adam: C1 = {C1.item():.4f}, C2 = {C2.item():.5f}, weights {model.weights}")

dde.optimizers.set_LBFGS_options(maxiter=LBFGS_ITERATIONS)
model.compile("L-BFGS", loss_weights="keep", external_trainable_variables=unknown)
losshistory, train_state = model.train()

x = geom.random_points(10000)
print("L2 relative error:", dde.metrics.l2_relative_error(reference(x), model.predict(x)))
print(f"C1 = {C1.item():.4f} (1), C2 = {C2.item():.5f} ({0.01 / np.pi:.5f})")
