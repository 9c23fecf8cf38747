"""Traces of the neural tangent kernel against the full Jacobian, and `ntk` in training."""

import copy

import deepxde as dde
import numpy as np
import pytest
import torch
from _support.plain import GROUPS, plain_errors
from _support.scripts import klein_gordon, network, parameters_of

import deepxde_balance as ddb
from deepxde_balance._deepxde.batch import Batch
from deepxde_balance.gradients.ntk_traces import kernel_traces


def full_traces(net, data):
    """tr(J J^T) / N of residual, bc, ic + ic_t: a backward for every row of the Jacobian."""
    parameters = list(net.parameters())
    traces = []
    for errors in plain_errors(net, data):
        total = 0.0
        for e in errors.reshape(-1):
            rows = torch.autograd.grad(e, parameters, retain_graph=True, allow_unused=True)
            total += sum((r**2).sum().item() for r in rows if r is not None)
        traces.append(total / errors.numel())
    return np.array([traces[0], traces[1], traces[2] + traces[3]])


def compiled(weights, engine, data=None, net=None):
    model = ddb.Model(data or klein_gordon(), net or network())
    model.compile(
        "adam", lr=1e-2, loss_weights=weights, loss_groups=GROUPS, gradient_engine=engine, verbose=0
    )
    return model


@pytest.mark.parametrize("engine", ["one-pass", "per-group"])
def test_exact_traces(engine, float64):
    model = compiled("ntk", engine)
    step = model.train_step
    batch = Batch(*model.data.train_next_batch())
    expected = full_traces(model.net, model.data)
    traces = kernel_traces(step.engine, batch, exact=True)
    np.testing.assert_allclose(traces, expected, rtol=1e-10)


def test_1000_estimates_come_within_5_percent(float64):
    model = compiled("ntk", "one-pass")
    batch = Batch(*model.data.train_next_batch())
    torch.manual_seed(0)
    estimates = [kernel_traces(model.train_step.engine, batch, exact=False) for _ in range(1000)]
    mean = torch.stack(estimates).mean(dim=0).numpy()
    expected = full_traces(model.net, model.data)
    np.testing.assert_allclose(mean, expected, rtol=0.05)


@pytest.mark.parametrize("engine", ["one-pass", "per-group"])
def test_one_estimate_is_the_squared_norm_of_a_signed_mean(engine, float64):
    model = compiled("ntk", engine)
    batch = Batch(*model.data.train_next_batch())
    torch.manual_seed(5)
    traces = kernel_traces(model.train_step.engine, batch, exact=False)
    torch.manual_seed(5)
    errors = plain_errors(model.net, model.data)
    signs = [torch.empty_like(e).bernoulli_(0.5) * 2 - 1 for e in errors]
    sums = [(s * e).sum() / e.numel() ** 0.5 for s, e in zip(signs, errors, strict=True)]
    expected = []
    for total in (sums[0], sums[1], sums[2] + sums[3]):
        rows = torch.autograd.grad(
            total, list(model.net.parameters()), retain_graph=True, allow_unused=True
        )
        expected.append(sum((r**2).sum().item() for r in rows if r is not None))
    np.testing.assert_allclose(traces, expected, rtol=1e-9)


def test_several_probes_are_averaged(float64):
    model = compiled("ntk", "one-pass")
    batch = Batch(*model.data.train_next_batch())
    engine = model.train_step.engine
    torch.manual_seed(5)
    single = torch.stack([kernel_traces(engine, batch, exact=False) for _ in range(3)])
    torch.manual_seed(5)
    torch.testing.assert_close(kernel_traces(engine, batch, False, 3), single.mean(dim=0))
    model = compiled(ddb.NTK(probes=3), "one-pass")
    torch.manual_seed(5)
    model.train(iterations=1, verbose=0)
    expected = single.mean(dim=0).sum() / single.mean(dim=0)
    np.testing.assert_allclose(list(model.weights.values()), expected, rtol=1e-9)


def test_static_factors_count_as_on_the_squared_errors(float64):
    plain = compiled("ntk", "one-pass")
    scaled = compiled(ddb.NTK(scale={"bc": 4.0}), "one-pass")
    batch = Batch(*plain.data.train_next_batch())
    for exact in (True, False):
        found = []
        for model in (plain, scaled):
            torch.manual_seed(2)
            found.append(kernel_traces(model.train_step.engine, batch, exact))
        torch.testing.assert_close(found[1], found[0] * torch.tensor([1.0, 4.0, 1.0]).double())


@pytest.mark.parametrize("exact", [True, False])
def test_a_term_of_factor_0_adds_nothing_to_its_groups_trace(exact, float64):
    """Of ic1 and ic2, ic1 alone counts: a backward of its signed mean, or of each of its errors."""
    model = compiled(ddb.NTK(scale={"ic2": 0.0}), "one-pass")
    batch = Batch(*model.data.train_next_batch())
    torch.manual_seed(5)
    traces = kernel_traces(model.train_step.engine, batch, exact)
    torch.manual_seed(5)
    errors = plain_errors(model.net, model.data)
    signs = [torch.empty_like(e).bernoulli_(0.5) * 2 - 1 for e in errors]
    losses = errors[2].reshape(-1) if exact else [(signs[2] * errors[2]).sum()]
    parameters = list(model.net.parameters())
    rows = [torch.autograd.grad(loss, parameters, retain_graph=True) for loss in losses]
    expected = sum((g**2).sum().item() for row in rows for g in row) / errors[2].numel()
    assert traces[2].item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("engine", ["one-pass", "per-group"])
def test_training_with_exact_traces(engine, float64):
    """30 iterations against plain autograd, the weights updated in every 10th."""
    data, net = klein_gordon(), network()
    twin = copy.deepcopy(net)
    optimizer = torch.optim.Adam(twin.parameters(), lr=1e-2)
    for iteration in range(30):
        if iteration % 10 == 0:
            traces = full_traces(twin, data)
            weights = traces.sum() / traces
        a, b, c, d = [(e**2).mean() for e in plain_errors(twin, data)]
        optimizer.zero_grad()
        (weights[0] * a + weights[1] * b + weights[2] * (c + d)).backward()
        optimizer.step()
    model = compiled(ddb.NTK(exact=True, update_every=10), engine, data, net)
    model.train(iterations=30, verbose=0)
    np.testing.assert_allclose(list(model.weights.values()), weights, rtol=1e-8)
    expected = torch.cat([p.detach().reshape(-1) for p in twin.parameters()])
    torch.testing.assert_close(parameters_of(model), expected, rtol=1e-8, atol=1e-9)


def test_traces_of_an_integro_differential_problem(float64):
    """Whose data class calls one loss function for all terms. Errors and Jacobian by hand."""
    geom = dde.geometry.TimeDomain(0, 2)

    def ide(x, y, weights):
        integral = torch.as_tensor(weights) @ y
        return (dde.grad.jacobian(y, x) + y)[: len(weights)] - integral

    start = dde.icbc.IC(geom, lambda x: np.ones((len(x), 1)), lambda _, on: on)
    data = dde.data.IDE(geom, ide, start, 4, num_domain=6, num_boundary=2)
    net = dde.nn.FNN([1, 5, 1], "tanh", "Glorot normal")
    model = ddb.Model(data, net)
    model.compile("adam", lr=1e-3, loss_weights="ntk-exact", verbose=0)
    batch = Batch(*data.train_next_batch())
    traces = kernel_traces(model.train_step.engine, batch, exact=True)

    x = torch.as_tensor(data.train_x).requires_grad_()
    y = net(x)
    slope = torch.autograd.grad(y.sum(), x, create_graph=True)[0]
    weights = torch.as_tensor(data.get_int_matrix(True))
    first = data.num_bcs[0]
    residual = ((slope + y)[: len(weights)] - weights @ y)[first:]
    for trace, errors in zip(traces, (residual, y[:first] - 1), strict=True):
        rows = [
            torch.autograd.grad(e, list(net.parameters()), retain_graph=True, allow_unused=True)
            for e in errors.reshape(-1)
        ]
        total = sum((g**2).sum().item() for row in rows for g in row if g is not None)
        assert trace.item() == pytest.approx(total / len(errors), rel=1e-10)


@pytest.mark.parametrize("timed", [False, True])
def test_exact_traces_of_a_fractional_problem(timed, float64):
    """Whose sparse product has no batched derivative. The mean estimate comes within a tenth."""
    interval = dde.geometry.Interval(0, 1)
    mesh = dde.data.fpde.Scheme("dynamic", [20])

    def fpde(x, y, int_mat):
        if isinstance(int_mat, (list, tuple)) and len(int_mat) == 3:
            indices, values, shape = int_mat
            matrix = torch.sparse_coo_tensor(
                torch.tensor(indices).T, torch.tensor(values), shape, check_invariants=True
            )
            left = torch.sparse.mm(matrix, y)
        else:
            left = torch.as_tensor(int_mat) @ y
        slope = dde.grad.jacobian(y, x, i=0, j=x.shape[1] - 1)[: len(left)]
        return left + slope - 1

    def zero(x):
        return np.zeros((len(x), 1))

    if timed:
        geom = dde.geometry.GeometryXTime(interval, dde.geometry.TimeDomain(0, 1))
        bcs = [
            dde.icbc.DirichletBC(geom, zero, lambda _, on: on),
            dde.icbc.IC(geom, zero, lambda _, on: on),
        ]
        data = dde.data.TimeFPDE(
            geom, fpde, 1.5, bcs, mesh.resolution,
            meshtype="dynamic", num_domain=6, num_boundary=2, num_initial=2,
        )  # fmt: skip
    else:
        bc = dde.icbc.DirichletBC(interval, zero, lambda _, on: on)
        data = dde.data.FPDE(
            interval, fpde, 1.5, bc, mesh.resolution,
            meshtype="dynamic", num_domain=6, num_boundary=2,
        )  # fmt: skip
    net = dde.nn.FNN([1 + timed, 6, 1], "tanh", "Glorot normal")
    model = ddb.Model(data, net)
    model.compile("adam", lr=1e-3, loss_weights="ntk-exact", verbose=0)
    model.train(iterations=1, verbose=0)
    batch = Batch(*data.train_next_batch())
    engine = model.train_step.engine
    exact = kernel_traces(engine, batch, exact=True)
    torch.testing.assert_close(
        kernel_traces(engine, batch, exact=False, probes=2000), exact, rtol=0.1, atol=0
    )
    assert (exact > 0).all()


def test_a_data_class_with_losses_of_its_own_is_refused_by_name():
    class Halved(dde.data.PDE):
        def losses_train(self, targets, outputs, loss_fn, inputs, model, aux=None):
            return [loss_fn(targets, outputs)]

    data = klein_gordon()
    data.__class__ = Halved
    model = ddb.Model(data, network())
    with pytest.raises(ValueError, match=r'.auto. needs the errors at .* not Halved.*"capu"'):
        model.compile("adam", lr=1e-3, loss_weights="auto", verbose=0)
