"""Scripts as DeepXDE's documentation and examples have them, with few points and small networks.

Each function returns what a script builds. `train` trains it as the script does, with a model
class and the `loss_weights` of choice; `features` has more scripts, one for each feature.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import deepxde as dde
import numpy as np
import torch

from . import features, scripts
from .features import Script, on
from .operators import problem

UNIT = dde.geometry.Interval(-1, 1)
STRIP = features.STRIP


@dataclasses.dataclass
class Phase:
    """A later `compile` and `train` of a script, and what the script does before them."""

    compile: dict
    train: dict = dataclasses.field(default_factory=dict)
    before: Callable[[Any], None] = lambda model: None


@dataclasses.dataclass
class Documented(Script):
    """A script with `train` arguments and later phases.

    Args:
        train: Arguments of `train` beside the number of iterations and the callbacks.
        later: The phases after the first.
        refused: What the error says under the strategies, by name, that can't train it.
    """

    train: dict = dataclasses.field(default_factory=dict)
    later: list[Phase] = dataclasses.field(default_factory=list)
    refused: dict[str, str] = dataclasses.field(default_factory=dict)


#: Where there are no conditions, and where there is one loss.
NO_CONDITION = dict.fromkeys(("auto", "db-kurtosis"), 'no condition.*loss_weights="equal"')
ONE_LOSS = dict.fromkeys(("auto", "db-kurtosis", "sa"), '[Uu]se loss_weights="equal"')
#: Where DeepXDE does not tell the errors at the points.
NO_ERRORS = dict.fromkeys(("auto", "sa"), "needs the errors at the points.*Use loss_weights=")

#: The scripts of `features` that strategies can't train.
REFUSED_FEATURES = {
    "hard_constraints": NO_CONDITION,
    "loss_functions_per_term": {"sa": 'weigh squared errors.*compile with loss="MSE"'},
}


def lbfgs_after_adam():
    return [Phase({"optimizer": "L-BFGS", "lr": None})]


def at_left(x, on_boundary):
    return on_boundary and np.isclose(x[0], -1)


def at_right(x, on_boundary):
    return on_boundary and np.isclose(x[0], 1)


def minus_u_xx(x, u):
    return -dde.grad.hessian(u, x)


def poisson_1d(bcs, network=(1, 8, 8, 1), **script):
    data = dde.data.PDE(UNIT, lambda x, u: minus_u_xx(x, u) - 2, bcs, 16, 2, num_test=20)
    return Documented(data, scripts.network(network), **script)


def poisson_dirichlet_1d():
    """Dirichlet conditions, a solution, a metric."""
    data = dde.data.PDE(
        UNIT,
        lambda x, u: minus_u_xx(x, u) - np.pi**2 * torch.sin(np.pi * x),
        dde.icbc.DirichletBC(UNIT, lambda x: 0, on),
        num_domain=16,
        num_boundary=2,
        solution=lambda x: np.sin(np.pi * x),
        num_test=30,
    )
    net = scripts.network((1, 8, 8, 1))
    return Documented(data, net, {"metrics": ["l2 relative error"]})


def poisson_neumann_1d():
    bcs = [
        dde.icbc.DirichletBC(UNIT, lambda x: (x + 1) ** 2, at_left),
        dde.icbc.NeumannBC(UNIT, lambda x: 2 * (x + 1), at_right),
    ]
    return poisson_1d(bcs, compile={"optimizer": "rmsprop"})


def poisson_robin_1d():
    bcs = [
        dde.icbc.DirichletBC(UNIT, lambda x: (x + 1) ** 2, at_left),
        dde.icbc.RobinBC(UNIT, lambda x, u: u, at_right),
    ]
    return poisson_1d(bcs, compile={"optimizer": "sgd", "lr": 1e-4})


def poisson_periodic_1d():
    bcs = [
        dde.icbc.DirichletBC(UNIT, lambda x: np.sin(np.pi * x), at_left),
        dde.icbc.PeriodicBC(UNIT, 0, at_right),
    ]
    return poisson_1d(bcs)


def poisson_point_set_operator_1d():
    points = UNIT.uniform_points(6)
    bcs = [
        dde.icbc.DirichletBC(UNIT, lambda x: (x + 1) ** 2, at_left),
        dde.icbc.PointSetOperatorBC(
            points, 2 * (points + 1), lambda x, u, X: dde.grad.jacobian(u, x)
        ),
    ]
    return poisson_1d(bcs, compile={"decay": ("inverse time", 3, 0.3)})


def poisson_hard_constraint_1d():
    """The output transform meets the conditions: there are none in the data."""
    script = poisson_1d([], refused=NO_CONDITION)
    script.net.apply_output_transform(lambda x, u: x * (1 - x**2) * u + x)
    return script


def euler_beam():
    """Values and derivatives up to the third order, at two ends."""
    geom = dde.geometry.Interval(0, 1)
    u_xx = lambda x, u: dde.grad.hessian(u, x)  # noqa: E731
    u_xxx = lambda x, u: dde.grad.jacobian(u_xx(x, u), x)  # noqa: E731
    left = lambda x, on: on and np.isclose(x[0], 0)  # noqa: E731
    right = lambda x, on: on and np.isclose(x[0], 1)  # noqa: E731
    bcs = [
        dde.icbc.DirichletBC(geom, lambda x: 0, left),
        dde.icbc.NeumannBC(geom, lambda x: 0, left),
        dde.icbc.OperatorBC(geom, lambda x, u, _: u_xx(x, u), right),
        dde.icbc.OperatorBC(geom, lambda x, u, _: u_xxx(x, u), right),
    ]
    data = dde.data.PDE(geom, lambda x, u: dde.grad.hessian(u_xx(x, u), x) + 1, bcs, 10, 2)
    return Documented(data, scripts.network((1, 8, 8, 1)), {"metrics": []})


def poisson_lshape():
    """A polygon, whose points DeepXDE gives in double precision; L-BFGS after Adam."""
    geom = dde.geometry.Polygon([[0, 0], [1, 0], [1, -1], [-1, -1], [-1, 1], [0, 1]])
    data = dde.data.PDE(
        geom,
        lambda x, u: -scripts.laplace_residual(x, u) - 1,
        dde.icbc.DirichletBC(geom, lambda x: 0, on),
        num_domain=40,
        num_boundary=16,
        num_test=20,
    )
    return Documented(data, scripts.network(), later=lbfgs_after_adam())


def laplace_disk():
    """Polar coordinates, the angle as sine and cosine."""
    geom = dde.geometry.Rectangle([0, 0], [1, 2 * np.pi])

    def pde(x, y):
        dy_r, r = dde.grad.jacobian(y, x, i=0, j=0), x[:, :1]
        dy_rr, dy_tt = (dde.grad.hessian(y, x, i=i, j=i) for i in (0, 1))
        return r * dy_r + r**2 * dy_rr + dy_tt

    bc = dde.icbc.DirichletBC(
        geom, lambda x: np.cos(x[:, 1:2]), lambda x, on: on and np.isclose(x[0], 1)
    )
    net = scripts.network((3, 8, 1))
    net.apply_feature_transform(
        lambda x: torch.cat([x[:, :1], torch.sin(x[:, 1:2]), torch.cos(x[:, 1:2])], dim=1)
    )
    return Documented(dde.data.PDE(geom, pde, bc, 30, 20), net)


def poisson_disk():
    geom = dde.geometry.Disk([0, 0], 1)
    bc = dde.icbc.DirichletBC(geom, lambda x: x[:, :1], on)
    data = dde.data.PDE(geom, scripts.laplace_residual, bc, 30, 12, train_distribution="pseudo")
    stopping = dde.callbacks.EarlyStopping(min_delta=1e-3, patience=3)
    return Documented(data, scripts.network(), callbacks=[stopping])


def helmholtz_hole():
    """A square without a disk: Dirichlet conditions outside, Neumann conditions on the hole."""
    outer = dde.geometry.Rectangle([-1, -1], [1, 1])
    inner = dde.geometry.Disk([0, 0], 0.4)
    geom = dde.geometry.CSGDifference(outer, inner)
    bcs = [
        dde.icbc.NeumannBC(geom, lambda x: 0, lambda x, on: on and inner.on_boundary(x)),
        dde.icbc.DirichletBC(geom, lambda x: x[:, 1:2], lambda x, on: on and outer.on_boundary(x)),
    ]
    data = dde.data.PDE(geom, lambda x, u: scripts.laplace_residual(x, u) + 4 * u, bcs, 30, 24)
    return Documented(data, scripts.network())


def kovasznay_flow():
    """Three outputs, three residuals, a condition on each output."""
    geom = dde.geometry.Rectangle([-0.5, -0.5], [1, 1.5])

    def pde(x, u):
        du = [[dde.grad.jacobian(u, x, i=i, j=j) for j in (0, 1)] for i in (0, 1, 2)]
        laplacian = [
            sum(dde.grad.hessian(u, x, component=i, i=j, j=j) for j in (0, 1)) for i in (0, 1)
        ]
        momentum = [
            u[:, :1] * du[i][0] + u[:, 1:2] * du[i][1] + du[2][i] - laplacian[i] / 20
            for i in (0, 1)
        ]
        return [*momentum, du[0][0] + du[1][1]]

    wave = lambda x: 1 - np.exp(-x[:, :1]) * np.cos(2 * np.pi * x[:, 1:2])  # noqa: E731
    outflow = lambda x, on: on and np.isclose(x[0], 1)  # noqa: E731
    bcs = [
        dde.icbc.DirichletBC(geom, wave, on, component=0),
        dde.icbc.DirichletBC(geom, lambda x: 0.1 * np.sin(x[:, 1:2]), on, component=1),
        dde.icbc.DirichletBC(geom, lambda x: 0.5, outflow, component=2),
    ]
    return Documented(dde.data.PDE(geom, pde, bcs, 30, 16), scripts.network((2, 8, 8, 3)))


def burgers_residual(x, u):
    u_x, u_t = (dde.grad.jacobian(u, x, i=0, j=j) for j in (0, 1))
    return u_t + u * u_x - 0.01 / np.pi * dde.grad.hessian(u, x, i=0, j=0)


def burgers_data(**points):
    bc = dde.icbc.DirichletBC(STRIP, lambda x: 0, on)
    ic = dde.icbc.IC(STRIP, lambda x: -np.sin(np.pi * x[:, 0:1]), on)
    points = {"num_domain": 40, "num_boundary": 10, "num_initial": 12} | points
    return dde.data.TimePDE(STRIP, burgers_residual, [bc, ic], **points)


def burgers():
    return Documented(burgers_data(), scripts.network(), later=lbfgs_after_adam())


def burgers_rar():
    """Anchors are added where the residual is largest, and training goes on, in a loop."""

    def add_anchor(model):
        candidates = STRIP.random_points(40)
        error = np.abs(model.predict(candidates, operator=burgers_residual))[:, 0]
        model.data.add_anchors(candidates[np.argmax(error)])

    def again():
        stopping = dde.callbacks.EarlyStopping(min_delta=1e-4, patience=2000)
        train = {"iterations": 4, "disregard_previous_best": True, "callbacks": [stopping]}
        return Phase({"optimizer": "adam", "lr": 1e-3}, train, add_anchor)

    return Documented(burgers_data(), scripts.network(), later=[again(), again()])


def diffusion_residual(x, u):
    source = torch.exp(-x[:, 1:]) * torch.sin(np.pi * x[:, :1]) * (1 - np.pi**2)
    return features.heat(x, u) + source


def diffusion(x):
    return np.sin(np.pi * x[:, 0:1]) * np.exp(-x[:, 1:])


def diffusion_conditions():
    return [dde.icbc.DirichletBC(STRIP, diffusion, on), dde.icbc.IC(STRIP, diffusion, on)]


def diffusion_1d():
    data = dde.data.TimePDE(
        STRIP, diffusion_residual, diffusion_conditions(), 20, 10, 6, solution=diffusion,
        num_test=40,
    )  # fmt: skip
    return Documented(data, scripts.network(), {"metrics": ["l2 relative error"]})


def diffusion_1d_resample():
    resampler = dde.callbacks.PDEPointResampler(period=3)
    script = diffusion_1d()
    script.callbacks = [resampler]
    return script


def diffusion_1d_exact_bc():
    """Hard constraints in space and time."""
    data = dde.data.TimePDE(STRIP, diffusion_residual, [], 30, solution=diffusion, num_test=40)
    net = scripts.network()
    net.apply_output_transform(
        lambda x, u: x[:, 1:2] * (1 - x[:, 0:1] ** 2) * u + torch.sin(np.pi * x[:, 0:1])
    )
    return Documented(data, net, refused=NO_CONDITION)


def allen_cahn_hard_ic():
    """The initial condition is hard, the boundary conditions are not."""
    data = dde.data.TimePDE(
        STRIP,
        lambda x, u: features.heat(x, u) - 5 * (u - u**3),
        dde.icbc.DirichletBC(STRIP, lambda x: -1, on),
        num_domain=30,
        num_boundary=10,
    )
    net = scripts.network()
    net.apply_output_transform(
        lambda x, u: x[:, 0:1] ** 2 * torch.cos(np.pi * x[:, 0:1]) + x[:, 1:2] * u
    )
    return Documented(data, net, later=lbfgs_after_adam())


def diffusion_1d_inverse():
    """An unknown coefficient, found from measurements, and written down every 2 iterations."""
    c = dde.Variable(2.0)

    def pde(x, u):
        u_t, u_xx = dde.grad.jacobian(u, x, j=1), dde.grad.hessian(u, x, i=0, j=0)
        return u_t - c * u_xx

    observed = np.vstack((np.linspace(-1, 1, num=8), np.full(8, 1))).T
    measured = dde.icbc.PointSetBC(observed, diffusion(observed), component=0)
    data = dde.data.TimePDE(
        STRIP, pde, [*diffusion_conditions(), measured], 20, 10, 6, anchors=observed
    )
    compile_ = {"external_trainable_variables": c}
    noting = dde.callbacks.VariableValue(c, period=2)
    return Documented(data, scripts.network(), compile_, [noting])


def lorenz_inverse():
    """A system of ODEs with three unknowns and measurements of each component."""
    geom, unknowns = dde.geometry.TimeDomain(0, 1), [dde.Variable(1.0) for _ in range(3)]

    def lorenz(t, y):
        a, b, c = unknowns
        y1, y2, y3 = y[:, 0:1], y[:, 1:2], y[:, 2:]
        return [
            dde.grad.jacobian(y, t, i=0) - a * (y2 - y1),
            dde.grad.jacobian(y, t, i=1) - (y1 * (b - y3) - y2),
            dde.grad.jacobian(y, t, i=2) - (y1 * y2 - c * y3),
        ]

    start = lambda x, on: on and np.isclose(x[0], 0)  # noqa: E731
    observed = np.linspace(0, 1, 7)[:, None]
    values = np.hstack([np.cos(observed), np.sin(observed), observed**2])
    bcs = [dde.icbc.IC(geom, lambda x: -1, start, component=i) for i in range(3)]
    bcs += [dde.icbc.PointSetBC(observed, values[:, i : i + 1], component=i) for i in range(3)]
    data = dde.data.PDE(geom, lorenz, bcs, 12, 2, anchors=observed)
    noting = dde.callbacks.VariableValue(unknowns, period=2)
    compile_ = {"external_trainable_variables": unknowns}
    return Documented(data, scripts.network((1, 8, 8, 3)), compile_, [noting])


def fourier_features(scales):
    """A feature transform: sines and cosines of random projections, with fixed scales."""
    rng = np.random.default_rng(0)
    projections = np.hstack([scale * rng.standard_normal((2, 2)) for scale in scales])
    matrix = torch.as_tensor(projections.astype(dde.config.real(np)))

    def transform(x):
        return torch.cat([torch.sin(x @ matrix), torch.cos(x @ matrix)], dim=1)

    return transform


def wave_1d():
    """Multi-scale Fourier features, L2 regularization, a decay of the learning rate."""
    net = scripts.network((8, 8, 8, 1), regularization=["l2", 1e-4])
    net.apply_feature_transform(fourier_features([1, 5]))
    wave = lambda x: np.sin(np.pi * x[:, 0:1])  # noqa: E731
    start = lambda x, _: np.isclose(x[1], 0)  # noqa: E731
    bcs = [
        dde.icbc.DirichletBC(STRIP, lambda x: 0, on),
        dde.icbc.IC(STRIP, wave, on),
        dde.icbc.OperatorBC(STRIP, lambda x, u, _: dde.grad.jacobian(u, x, j=1), start),
    ]
    data = dde.data.TimePDE(
        STRIP,
        lambda x, u: dde.grad.hessian(u, x, i=1, j=1) - 4 * dde.grad.hessian(u, x, i=0, j=0),
        bcs, 20, 8, 8,
    )  # fmt: skip
    return Documented(data, net, {"decay": ("step", 4, 0.5)})


def reaction_inverse():
    """Two concentrations by parallel networks, two unknown rates, data inside the domain."""
    kf, d = dde.Variable(0.05), dde.Variable(1.0)
    dde.config.set_random_seed(3)
    net = dde.nn.PFNN([2, [6, 6], [6, 6], 2], "tanh", "Glorot uniform")

    def pde(x, y):
        ca, cb = y[:, 0:1], y[:, 1:2]
        rate = kf * ca * cb**2
        return [
            dde.grad.jacobian(y, x, i=i, j=1)
            - 1e-3 * d * dde.grad.hessian(y, x, component=i, i=0, j=0)
            + factor * rate
            for i, factor in ((0, 1), (1, 2))
        ]

    points = np.random.default_rng(1).random((9, 2))
    bcs = [dde.icbc.DirichletBC(STRIP, lambda x: 1, on, component=i) for i in (0, 1)]
    bcs += [dde.icbc.IC(STRIP, lambda x: np.exp(-20 * x[:, :1]), on, component=i) for i in (0, 1)]
    bcs += [dde.icbc.PointSetBC(points, points[:, i : i + 1], component=i) for i in (0, 1)]
    data = dde.data.TimePDE(STRIP, pde, bcs, 20, 8, 6, anchors=points)
    noting = dde.callbacks.VariableValue([kf, d], period=3)
    return Documented(data, net, {"external_trainable_variables": [kf, d]}, [noting])


def volterra_ide():
    """An integro-differential equation, by L-BFGS alone after a few iterations of Adam."""
    geom = dde.geometry.TimeDomain(0, 5)

    def ide(x, y, int_mat):
        rhs = torch.matmul(torch.as_tensor(int_mat, dtype=y.dtype), y)
        lhs = torch.autograd.grad(y.sum(), x, create_graph=True)[0]
        return (lhs + y)[: len(rhs)] - rhs

    data = dde.data.IDE(
        geom,
        ide,
        dde.icbc.IC(geom, lambda x: 1, on),
        quad_deg=4,
        kernel=lambda x, s: np.exp(s - x),
        num_domain=8,
        num_boundary=2,
        train_distribution="uniform",
    )
    return Documented(data, scripts.network((1, 8, 1)), later=lbfgs_after_adam())


def fractional_poisson_1d():
    """A fractional Laplacian on a static mesh; the boundary values are hard."""
    geom = dde.geometry.Interval(0, 1)

    def fpde(x, y, int_mat):
        return torch.matmul(torch.as_tensor(int_mat, dtype=y.dtype), y) - x[: len(int_mat)]

    data = dde.data.FPDE(
        geom,
        fpde,
        1.5,
        dde.icbc.DirichletBC(geom, lambda x: 0, on),
        [12],
        meshtype="static",
    )
    net = scripts.network((1, 8, 1))
    net.apply_output_transform(lambda x, y: x * (1 - x) * y)
    return Documented(data, net)


def function():
    """A regression: one loss."""
    data = dde.data.Function(UNIT, lambda x: x * np.sin(5 * x), 12, 20)
    compile_ = {"metrics": ["l2 relative error"]}
    net = scripts.network((1, 8, 1))
    return Documented(data, net, compile_, refused=ONE_LOSS)


def dataset():
    x = np.linspace(0, 1, 12)[:, None]
    data = dde.data.DataSet(X_train=x, y_train=np.sin(x), X_test=x, y_test=np.sin(x))
    net = scripts.network((1, 8, 1), regularization=["l2", 1e-4])
    return Documented(data, net, refused=ONE_LOSS)


def antiderivative():
    """A DeepONet from data, in mini-batches."""
    rng = np.random.default_rng(0)
    branch, trunk = rng.random((8, 4)), np.linspace(0, 1, 5)[:, None]
    x = (branch.astype(dde.config.real(np)), trunk.astype(dde.config.real(np)))
    y = (branch.mean(axis=1, keepdims=True) * trunk.T).astype(dde.config.real(np))
    data = dde.data.TripleCartesianProd(X_train=x, y_train=y, X_test=x, y_test=y)
    dde.config.set_random_seed(5)
    net = dde.nn.DeepONetCartesianProd([4, 8, 8], [1, 8, 8], "relu", "Glorot normal")
    return Documented(data, net, train={"batch_size": 4}, refused=ONE_LOSS)


def physics_informed_deeponet():
    data, net = problem(3, cartesian=False)
    return Documented(data, net, refused=NO_ERRORS)


def physics_informed_deeponet_in_batches():
    data, net = problem(3, cartesian=True, batch_size=2)
    return Documented(data, net, refused=NO_ERRORS)


DOCUMENTED = {
    f.__name__: f
    for f in (
        poisson_dirichlet_1d,
        poisson_neumann_1d,
        poisson_robin_1d,
        poisson_periodic_1d,
        poisson_point_set_operator_1d,
        poisson_hard_constraint_1d,
        euler_beam,
        poisson_lshape,
        laplace_disk,
        poisson_disk,
        helmholtz_hole,
        kovasznay_flow,
        burgers,
        burgers_rar,
        diffusion_1d,
        diffusion_1d_resample,
        diffusion_1d_exact_bc,
        allen_cahn_hard_ic,
        diffusion_1d_inverse,
        lorenz_inverse,
        wave_1d,
        reaction_inverse,
        volterra_ide,
        fractional_poisson_1d,
        function,
        dataset,
        antiderivative,
        physics_informed_deeponet,
        physics_informed_deeponet_in_batches,
    )
}


def written(name):
    """What the script of that name builds, the same points and parameters in every call."""
    dde.config.set_random_seed(11)
    script = (DOCUMENTED | features.FEATURES)[name]()
    if not isinstance(script, Documented):
        script = Documented(**vars(script), refused=REFUSED_FEATURES.get(name, {}))
    return script


def compiled(script, model_class, loss_weights):
    """The script's model after its first compile."""
    model = model_class(script.data, script.net)
    arguments: dict[str, Any] = {"optimizer": "adam", "lr": 1e-2, "verbose": 0}
    if loss_weights is not None:
        arguments |= {"loss_weights": loss_weights, "loss_groups": script.loss_groups}
    model.compile(**arguments | script.compile)
    return model


def train(model, script, iterations, callbacks=()):
    """The script's first training."""
    model.train(
        iterations=iterations,
        display_every=3,
        callbacks=[*script.callbacks, *callbacks],
        verbose=0,
        **script.train,
    )


def train_on(model, script, loss_weights):
    """The script's later phases, with `loss_weights` in each compile."""
    given = {} if loss_weights is None else {"loss_weights": loss_weights}
    for phase in script.later:
        phase.before(model)
        model.compile(**phase.compile | given, verbose=0)
        model.train(**{"display_every": 3, "verbose": 0} | phase.train)
