"""DeepXDE scripts, one for each feature: a function returns what a user would write before
`model = dde.Model(data, net)` and in `compile` and `train`.
"""

import dataclasses
from typing import Any

import deepxde as dde
import numpy as np
import pytest
import torch

from . import scripts

SQUARE = dde.geometry.Rectangle([0, 0], [1, 1])
STRIP = dde.geometry.GeometryXTime(dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 1))


@dataclasses.dataclass
class Script:
    data: dde.data.Data
    net: torch.nn.Module
    compile: dict = dataclasses.field(default_factory=dict)
    callbacks: list = dataclasses.field(default_factory=list)
    loss_groups: Any = None


def on(_, on_boundary):
    return on_boundary


def on_left(x, on_boundary):
    return on_boundary and np.isclose(x[0], 0)


def not_left(x, on_boundary):
    return on_boundary and not np.isclose(x[0], 0)


def wave(x):
    return np.sin(3 * x[:, 0:1]) * x[:, 1:2]


def heat(x, u):
    return dde.grad.jacobian(u, x, i=0, j=1) - dde.grad.hessian(u, x, i=0, j=0)


def dirichlet_ic_operator():
    return Script(scripts.klein_gordon(), scripts.network(), loss_groups={"bc": 0, "ic": [1, 2]})


def neumann():
    bcs = [
        dde.icbc.DirichletBC(SQUARE, wave, on_left),
        dde.icbc.NeumannBC(SQUARE, lambda x: x[:, 0:1], not_left),
    ]
    return Script(scripts.laplace(SQUARE, bcs), scripts.network())


def robin():
    bcs = [
        dde.icbc.DirichletBC(SQUARE, wave, on_left),
        dde.icbc.RobinBC(SQUARE, lambda x, y: 2 * y, not_left),
    ]
    return Script(scripts.laplace(SQUARE, bcs), scripts.network())


def periodic():
    left = lambda x, on: on and np.isclose(x[0], -1)  # noqa: E731
    bcs = [
        dde.icbc.PeriodicBC(STRIP, 0, left),
        dde.icbc.PeriodicBC(STRIP, 0, left, derivative_order=1),
        dde.icbc.IC(STRIP, wave, on),
    ]
    data = dde.data.TimePDE(STRIP, heat, bcs, 30, 20, 10)
    return Script(data, scripts.network(), loss_groups={"bc": [0, 1], "ic": [2]})


def point_sets():
    points = np.random.default_rng(0).random((15, 2))
    bcs = [
        dde.icbc.PointSetBC(points, wave(points), component=1),
        dde.icbc.PointSetBC(points[:7], np.hstack([wave(points)] * 2)[:7], component=[0, 1]),
        dde.icbc.PointSetOperatorBC(
            points[3:], wave(points)[3:], lambda x, u, _: dde.grad.jacobian(u, x, i=1, j=0)
        ),
        dde.icbc.DirichletBC(SQUARE, lambda x: 1, on),
    ]
    return Script(scripts.laplace(SQUARE, bcs), scripts.network((2, 8, 8, 2)))


def interface():
    if np.lib.NumpyVersion(np.__version__) < "2.0.0":
        pytest.skip("with NumPy 1, DeepXDE's uniform boundary points are float64 and fail in stock")
    bottom = lambda x, on: on and np.isclose(x[1], 0)  # noqa: E731
    top = lambda x, on: on and np.isclose(x[1], 1)  # noqa: E731
    bcs = [
        dde.icbc.Interface2DBC(SQUARE, lambda x: 0 * x[:, :1], bottom, top, "tangent"),
        dde.icbc.DirichletBC(SQUARE, wave, on_left),
    ]
    data = scripts.laplace(SQUARE, bcs, train_distribution="uniform", num_boundary=40)
    return Script(data, scripts.network((2, 8, 8, 2)))


def several_residuals():
    def stokes(x, u):
        du_x = dde.grad.jacobian(u, x, i=0, j=0)
        dv_y = dde.grad.jacobian(u, x, i=1, j=1)
        momentum = dde.grad.hessian(u, x, component=0, i=0, j=0) - dde.grad.jacobian(u, x, 2, 0)
        return [momentum, du_x + dv_y]

    bcs = [dde.icbc.DirichletBC(SQUARE, wave, on, component=c) for c in (0, 1)]
    data = dde.data.PDE(SQUARE, stokes, bcs, 30, 20)
    return Script(data, scripts.network((2, 8, 8, 3)))


def one_residual_as_reference():
    script = several_residuals()
    script.loss_groups = {"pde": [0], "walls": [0, 1]}
    return script


def a_residual_and_a_condition_in_one_group():
    script = several_residuals()
    script.loss_groups = {"pde": [0], "mixed": ["pde1", "bc0"], "unweighted": [1]}
    return script


def transforms():
    net = scripts.network((4, 8, 1))
    net.apply_feature_transform(lambda x: torch.cat([x, torch.sin(3 * x)], dim=1))
    net.apply_output_transform(lambda x, u: 1 + x[:, 0:1] * u)
    return Script(scripts.klein_gordon(), net)


def hard_constraints():
    net = scripts.network()
    net.apply_output_transform(lambda x, u: x[:, 0:1] * (1 - x[:, 0:1]) * u)
    return Script(dde.data.PDE(SQUARE, scripts.laplace_residual, [], 30, 10), net)


def parallel_networks():
    dde.config.set_random_seed(0)
    net = dde.nn.PFNN([2, [6, 6], [6, 6], 2], "tanh", "Glorot normal")

    def system(x, u):
        return [scripts.laplace_residual(x, u[:, :1]), dde.grad.jacobian(u, x, i=1, j=0)]

    bcs = [dde.icbc.DirichletBC(SQUARE, wave, on, component=c) for c in (0, 1)]
    return Script(dde.data.PDE(SQUARE, system, bcs, 30, 20), net)


class Residual(torch.nn.Module):
    """A user's module: a skip connection, a layer norm, a buffer, a layer that is used twice."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.first = torch.nn.Linear(2, 8)
        self.shared = torch.nn.Linear(8, 8)
        self.norm = torch.nn.LayerNorm(8)
        self.last = torch.nn.Linear(8, 1)
        self.register_buffer("scale", torch.tensor(2.0))
        self.regularizer = None

    def forward(self, x):
        h = torch.tanh(self.first(self.scale * x))
        h = h + torch.tanh(self.shared(self.norm(h)))
        return self.last(h + torch.tanh(self.shared(h)))


def user_module():
    return Script(scripts.klein_gordon(), Residual())


def tied_parameters():
    net: Any = Residual()
    net.extra = torch.nn.Linear(8, 8)
    net.extra.weight = net.shared.weight
    net.forward = lambda x: net.last(torch.tanh(net.extra(torch.tanh(net.shared(net.first(x))))))
    return Script(scripts.klein_gordon(), net)


def a_layer_at_two_places():
    net = dde.nn.FNN([2, 8, 8, 8, 1], "tanh", "Glorot normal")
    net.linears[2] = net.linears[1]
    net.first = net.linears[0]  # another name for a layer
    return Script(scripts.klein_gordon(), net)


def weight_norm():
    net = Residual()
    torch.nn.utils.parametrizations.weight_norm(net.shared)
    return Script(scripts.klein_gordon(), net)


def frozen_layers():
    net = scripts.network()
    net.linears[1].requires_grad_(False)
    return Script(scripts.klein_gordon(), net)


def unused_parameters():
    net = scripts.network()
    net.never_used = torch.nn.Linear(3, 3)
    return Script(scripts.laplace(SQUARE), net)


def auxiliary_variables():
    def pde(x, u, source):
        return scripts.laplace_residual(x, u) - source

    data = dde.data.PDE(
        SQUARE,
        pde,
        [dde.icbc.DirichletBC(SQUARE, wave, on)],
        num_domain=30,
        num_boundary=20,
        auxiliary_var_function=lambda x: np.cos(x[:, 0:1]),
    )
    return Script(data, scripts.network())


def inverse_problem():
    c, d = dde.Variable(2.0), dde.Variable(0.5)

    def pde(x, u):
        return dde.grad.jacobian(u, x, i=0, j=1) - c * dde.grad.hessian(u, x, i=0, j=0) + d * u

    points = np.random.default_rng(1).random((20, 2))
    bcs = [
        dde.icbc.DirichletBC(STRIP, wave, on),
        dde.icbc.IC(STRIP, wave, on),
        dde.icbc.PointSetBC(points, wave(points)),
    ]
    data = dde.data.TimePDE(STRIP, pde, bcs, 30, 20, 10)
    return Script(data, scripts.network(), {"external_trainable_variables": [c, d]})


def a_variable_in_residual_and_condition():
    c = dde.Variable(2.0)

    def pde(x, u):
        return c * heat(x, u) + u

    flux = dde.icbc.OperatorBC(STRIP, lambda x, u, _: c**2 * dde.grad.jacobian(u, x, 0, 0), on)
    bcs = [flux, dde.icbc.IC(STRIP, wave, on)]
    data = dde.data.TimePDE(STRIP, pde, bcs, 30, 20, 10)
    return Script(data, scripts.network(), {"external_trainable_variables": c})


def a_variable_in_the_features():
    c = dde.Variable(2.0)
    net = scripts.network()
    net.apply_feature_transform(lambda x: torch.tanh(c * x))
    return Script(scripts.klein_gordon(), net, {"external_trainable_variables": c})


def loss_functions_per_term():
    def huber(y_true, y_pred):
        return torch.nn.functional.huber_loss(y_pred, y_true, delta=0.1)

    return Script(scripts.klein_gordon(), scripts.network(), {"loss": ["MAE", huber, "MSE", "mse"]})


def l1_regularization():
    return Script(scripts.klein_gordon(), scripts.network(regularization=["l1", 1e-3]))


def l2_regularization():
    return Script(scripts.klein_gordon(), scripts.network(regularization=["l2", 1e-3]))


def batches_of_data():
    points = np.random.default_rng(2).random((40, 2))
    bcs = [
        dde.icbc.PointSetBC(points, wave(points), batch_size=10),
        dde.icbc.DirichletBC(SQUARE, lambda x: 0, on),
    ]
    resample = dde.callbacks.PDEPointResampler(period=3, bc_points=True)
    return Script(scripts.laplace(SQUARE, bcs), scripts.network(), callbacks=[resample])


def anchors_and_exclusions():
    anchors = np.random.default_rng(3).random((9, 2))
    data = scripts.laplace(SQUARE, anchors=anchors, exclusions=np.array([[0.0, 0.0], [1.0, 1.0]]))
    return Script(data, scripts.network())


def resampled_residual_points():
    script = dirichlet_ic_operator()
    script.callbacks = [dde.callbacks.PDEPointResampler(period=4)]
    return script


class AddAnchors(dde.callbacks.Callback):
    """Adaptive refinement as in DeepXDE's RAR examples."""

    def __init__(self, period=6):
        super().__init__()
        self.period, self.count = period, 0

    def on_epoch_end(self):
        self.count += 1
        if self.count % self.period == 0:
            candidates = self.model.data.geom.random_points(50)
            error = np.abs(self.model.predict(candidates, operator=self.model.data.pde))
            self.model.data.add_anchors(candidates[np.argmax(error)][None])


def refined_residual_points():
    return Script(scripts.laplace(SQUARE), scripts.network(), callbacks=[AddAnchors()])


def ode_system():
    geom = dde.geometry.TimeDomain(0, 2)

    def oscillator(t, y):
        return [
            dde.grad.jacobian(y, t, i=0) - y[:, 1:2],
            dde.grad.jacobian(y, t, i=1) + 4 * y[:, 0:1],
        ]

    ics = [
        dde.icbc.IC(geom, lambda t: 1, lambda _, on: on, component=0),
        dde.icbc.IC(geom, lambda t: 0.5, lambda _, on: on, component=1),
    ]
    return Script(dde.data.PDE(geom, oscillator, ics, 20, 2), scripts.network((1, 8, 8, 2)))


def three_dimensions():
    geom = dde.geometry.GeometryXTime(SQUARE, dde.geometry.TimeDomain(0, 1))

    def pde(x, u):
        laplacian = dde.grad.hessian(u, x, i=0, j=0) + dde.grad.hessian(u, x, i=1, j=1)
        return dde.grad.jacobian(u, x, i=0, j=2) - laplacian

    bcs = [dde.icbc.DirichletBC(geom, wave, on), dde.icbc.IC(geom, wave, on)]
    return Script(dde.data.TimePDE(geom, pde, bcs, 30, 20, 10), scripts.network((3, 8, 1)))


def many_groups():
    """Several conditions on values, of different numbers of points, and one on a derivative."""
    script = point_sets()
    points = np.random.default_rng(4).random((23, 2))
    more = [dde.icbc.PointSetBC(points[:n], wave(points)[:n], component=n % 2) for n in (1, 9, 23)]
    data = scripts.laplace(SQUARE, [*script.data.bcs, *more])
    script.net.apply_output_transform(lambda x, u: u * (1 + x[:, 0:1]))
    return Script(data, script.net)


# Under forward-mode autodiff DeepXDE hands over, and gives back, pairs: the values come first.


def forward_heat(x, u):
    u_t, _ = dde.grad.jacobian(u, x, i=0, j=1)
    u_xx, _ = dde.grad.hessian(u, x, i=0, j=0)
    return u_t - u_xx + u[0] ** 2


def forward_dirichlet():
    bcs = [dde.icbc.DirichletBC(STRIP, wave, on), dde.icbc.IC(STRIP, wave, on)]
    net = scripts.network()
    net.apply_feature_transform(torch.sin)
    return Script(dde.data.TimePDE(STRIP, forward_heat, bcs, 30, 20, 10), net)


def forward_inverse_ode():
    geom, c = dde.geometry.TimeDomain(0, 2), dde.Variable(3.0)

    def oscillator(t, y):
        y0_t, y1_t = (dde.grad.jacobian(y, t, i=i, j=0)[0] for i in (0, 1))
        return [y0_t - y[0][:, 1:2], y1_t + c * y[0][:, 0:1]]

    ics = [dde.icbc.IC(geom, lambda t: 1, lambda _, on: on, component=i) for i in (0, 1)]
    data = dde.data.PDE(geom, oscillator, ics, 20, 2)
    return Script(data, scripts.network((1, 8, 8, 2)), {"external_trainable_variables": c})


#: Where stock DeepXDE is no oracle: it unfreezes frozen layers.
STOCK_DIFFERS = ("frozen_layers",)

FORWARD = {f.__name__: f for f in (forward_dirichlet, forward_inverse_ode)}


def points_to_test_and_metrics():
    data = scripts.klein_gordon(num_test=30, solution=scripts.exact)
    return Script(data, scripts.network(), {"metrics": ["l2 relative error"]})


def stream_function():
    """The network's output is differentiated to give u and v, which are then free of divergence."""
    net = scripts.network((2, 8, 8, 1))

    def curl(x, psi):
        (slopes,) = torch.autograd.grad(psi.sum(), x, create_graph=True)
        return torch.cat([slopes[:, 1:2], -slopes[:, 0:1]], dim=1)

    net.apply_output_transform(curl)
    bcs = [dde.icbc.DirichletBC(SQUARE, wave, on, component=c) for c in (0, 1)]
    return Script(scripts.laplace(SQUARE, bcs, num_test=15), net)


FEATURES = {
    f.__name__: f
    for f in (
        dirichlet_ic_operator,
        neumann,
        robin,
        periodic,
        point_sets,
        interface,
        many_groups,
        several_residuals,
        one_residual_as_reference,
        a_residual_and_a_condition_in_one_group,
        transforms,
        hard_constraints,
        parallel_networks,
        user_module,
        tied_parameters,
        a_layer_at_two_places,
        weight_norm,
        frozen_layers,
        unused_parameters,
        auxiliary_variables,
        inverse_problem,
        a_variable_in_residual_and_condition,
        a_variable_in_the_features,
        loss_functions_per_term,
        l1_regularization,
        l2_regularization,
        batches_of_data,
        anchors_and_exclusions,
        resampled_residual_points,
        refined_residual_points,
        ode_system,
        three_dimensions,
        points_to_test_and_metrics,
        stream_function,
    )
}
