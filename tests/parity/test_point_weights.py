"""Point weights, written out with plain autograd, against Model and LossWeighting.

The reference in this file has its own losses on the same points, its own rules and its own db-mean.
"""

import copy
from typing import Any

import deepxde as dde
import numpy as np
import pytest
import torch
from _support.plain import GROUPS, DbMean, flat_gradient, plain_errors
from _support.scripts import klein_gordon, network, parameters_of

import deepxde_balance as ddb

pytestmark = pytest.mark.usefixtures("large_problem", "compilations")

ENGINES = ["one-pass", "per-group", "compiled"]

ITERATIONS = 30

#: The number of points of the DirichletBC.
NUM_BC = 12


class Rba:
    """Residual points only: v = gamma v + eta |e| / max |e|, w = v^2."""

    def __init__(self, gamma, eta):
        self.gamma, self.eta, self.v = gamma, eta, 0.0

    def weights(self, errors, data):
        size = np.abs(errors[0])
        self.v = self.gamma * self.v + self.eta * size / size.max()
        return {0: self.v**2}


class Brdr:
    """All points: w = beta w + (1 - beta) d / mean(d), d = e^2 / (sqrt(corrected v) + eps)."""

    def __init__(self, beta_c, beta_w):
        self.c, self.w, self.t = beta_c, beta_w, 0
        self.v: Any = None

    def weights(self, errors, data):
        sizes = [len(e) for e in errors]
        e = np.concatenate(errors)
        if self.v is None:
            self.v, self.now = np.zeros(len(e)), np.ones(len(e))
        self.t += 1
        self.v = self.c * self.v + (1 - self.c) * e**4
        d = e**2 / (np.sqrt(self.v / (1 - self.c**self.t)) + 1e-14)
        self.now = self.w * self.now + (1 - self.w) * d / d.mean()
        assert self.now.mean() == pytest.approx(1, abs=1e-12)
        return dict(enumerate(np.split(self.now, np.cumsum(sizes)[:-1])))


class Causal:
    """Residual points sorted by time in chunks; the next tolerance when all weights are large."""

    def __init__(self, tolerances, chunks, threshold=0.99):
        self.tolerances, self.chunks, self.threshold = list(tolerances), chunks, threshold

    def weights(self, errors, data):
        times = data.train_x_all[:, -1]
        where = [int((times < t).sum()) * self.chunks // len(times) for t in times]
        means = []
        for k in range(self.chunks):
            own = [e**2 for e, chunk in zip(errors[0], where, strict=True) if chunk == k]
            means.append(np.mean(own) if own else 0.0)
        of_chunk = [np.exp(-self.tolerances[0] * sum(means[:k])) for k in range(self.chunks)]
        weights = np.array([of_chunk[k] for k in where])
        if weights.min() > self.threshold and len(self.tolerances) > 1:
            self.tolerances.pop(0)
        return {0: weights}


def early(x):
    return 1 / (1 + x[:, 1])


class Fixed:
    def weights(self, errors, data):
        return {0: early(data.train_x_all), 1: np.arange(data.num_bcs[0]) / 7}


RULES: dict[str, Any] = {
    "rba": (lambda: Rba(0.999, 0.01), "rba"),
    "rba, faster": (lambda: Rba(0.9, 0.1), ddb.RBA(gamma=0.9, eta=0.1)),
    "brdr": (lambda: Brdr(0.999, 0.999), "brdr"),
    "brdr, faster": (lambda: Brdr(0.9, 0.8), "brdr:beta_c=0.9,beta_w=0.8"),
    "causal": (lambda: Causal([1.0], 32), "causal"),
    "causal, few chunks": (lambda: Causal([0.01], 5), ddb.Causal(tolerance=0.01, chunks=5)),
    "causal, a ladder": (
        lambda: Causal([1e-4, 1e-3, 1e-2], 4),
        ddb.Causal(tolerance=[1e-4, 1e-3, 1e-2], chunks=4),
    ),
    "given": (Fixed, {"pde": early, "bc": [k / 7 for k in range(NUM_BC)]}),
}


def reference(net, data, rule, strategy=None, iterations=ITERATIONS):
    """Adam on sum of lambda_i mean(w_p e_p^2); returns the parameters, weights and lambdas."""
    parameters = list(net.parameters())
    adam = torch.optim.Adam(parameters, lr=1e-2)
    for _ in range(iterations):
        errors = plain_errors(net, data)
        weights = rule.weights([e.detach().numpy().ravel() for e in errors], data)
        losses = [
            (torch.tensor(weights.get(i, np.ones(len(e))))[:, None] * e**2).mean()
            for i, e in enumerate(errors)
        ]
        groups = [losses[0], losses[1], losses[2] + losses[3]]
        lam = np.ones(2)
        if strategy is not None:
            gradients = [flat_gradient(loss, parameters) for loss in groups]
            conditions = np.array([loss.item() for loss in groups[1:]])
            strategy.update(conditions, gradients[0], gradients[1:])
            lam = strategy.lam
        adam.zero_grad()
        (groups[0] + lam[0] * groups[1] + lam[1] * groups[2]).backward()
        adam.step()
    return torch.cat([p.detach().reshape(-1) for p in parameters]), weights, lam


def trained(net, data, point_weights, way, loss_weights="equal"):
    if way == "LossWeighting":
        callback = ddb.LossWeighting(loss_weights, GROUPS, point_weights)
        model = dde.Model(data, net)
        model.compile("adam", lr=1e-2, verbose=0)
        model.train(iterations=ITERATIONS, callbacks=[callback], verbose=0)
        return model
    model = ddb.Model(data, net)
    model.compile(
        "adam",
        lr=1e-2,
        loss_weights=loss_weights,
        loss_groups=GROUPS,
        point_weights=point_weights,
        gradient_engine=way,
        verbose=0,
    )
    model.train(iterations=ITERATIONS, verbose=0)
    assert model.gradient_engine == way
    return model


@pytest.mark.parametrize("way", [*ENGINES, "LossWeighting"])
@pytest.mark.parametrize("name", RULES)
def test_each_rule_follows_its_formula(name, way, float64):
    make, given = RULES[name]
    data, net = klein_gordon(), network()
    expected, weights, _ = reference(copy.deepcopy(net), data, make())
    model = trained(net, data, given, way)
    torch.testing.assert_close(parameters_of(model), expected, rtol=1e-9, atol=1e-10)
    unweighted = [(e**2).mean().item() for e in plain_errors(net, data)]
    np.testing.assert_allclose(model.losshistory.loss_train[-1], unweighted, rtol=1e-9)
    if way == "LossWeighting":
        return
    assert [model.loss_terms.index(name) for name in model.point_weights] == sorted(weights)
    for i, of_term in weights.items():
        found = model.point_weights[model.loss_terms[i]]
        np.testing.assert_allclose(found, of_term, rtol=1e-8, atol=1e-12)


def test_the_ladder_climbs(float64):
    """In the case above more than one tolerance is used."""
    rule = Causal([1e-4, 1e-3, 1e-2], 4)
    reference(network(), klein_gordon(), rule)
    assert len(rule.tolerances) < 3


@pytest.mark.parametrize("way", [*ENGINES, "LossWeighting"])
@pytest.mark.parametrize("name", ["rba, faster", "brdr, faster", "causal, few chunks", "given"])
def test_composed_with_db_mean(name, way, float64):
    make, given = RULES[name]
    data, net = klein_gordon(), network()
    expected, _, lam = reference(copy.deepcopy(net), data, make(), DbMean())
    model = trained(net, data, given, way, ddb.DB("mean", update_every=1))
    torch.testing.assert_close(parameters_of(model), expected, rtol=0, atol=1e-10)
    shown = model.losshistory.loss_weights[-1]
    np.testing.assert_allclose([shown["bc"], shown["ic"]], lam, rtol=1e-8)


@pytest.mark.parametrize("way", ENGINES)
def test_sa_is_a_strategy_or_a_point_weighting(way):
    models = []
    for arguments in ({"loss_weights": ddb.SA()}, {"point_weights": "sa"}):
        torch.manual_seed(3)
        model = ddb.Model(klein_gordon(), network())
        model.compile(
            "adam", lr=1e-2, loss_groups=GROUPS, gradient_engine=way, verbose=0, **arguments
        )
        torch.manual_seed(3)
        model.train(iterations=ITERATIONS, verbose=0)
        models.append(model)
    assert torch.equal(parameters_of(models[0]), parameters_of(models[1]))
    of_points = [model.point_weights for model in models]
    assert (
        of_points[0].keys() == of_points[1].keys() == {"pde", "bc0", "ic1", models[0].loss_terms[3]}
    )
    for name, weights in of_points[0].items():
        assert np.array_equal(weights, of_points[1][name])
    assert models[0].weights["pde"] == pytest.approx(of_points[0]["pde"].mean(), rel=1e-5)
    assert models[1].weights == {"pde": 1.0, "bc": 1.0, "ic": 1.0}


def point_set_problem(copies, **conditions):
    """Residual and two conditions at given points, each taken `copies` times."""
    rng = np.random.default_rng(5)
    geom = dde.geometry.GeometryXTime(dde.geometry.Interval(0, 1), dde.geometry.TimeDomain(0, 1))
    inside, initial, measured = (rng.random((n, 2)).astype("float64") for n in (37, 11, 13))
    initial[:, 1] = 0

    def several(x):
        return np.concatenate([x] * copies)

    bcs = [
        dde.icbc.PointSetBC(several(x), several(np.sin(x[:, :1] + 2 * x[:, 1:])), **conditions)
        for x in (initial, measured)
    ]

    def pde(x, u):
        return dde.grad.jacobian(u, x, j=1) - 0.1 * dde.grad.hessian(u, x, i=0, j=0) - x[:, 1:] ** 2

    return dde.data.TimePDE(geom, pde, bcs, anchors=several(inside))


@pytest.mark.parametrize("strategy", ["db-mean", "ntk-exact", "gw-kurtosis"])
@pytest.mark.parametrize("given", ["rba", "brdr", "causal", {"pde": early}])
def test_points_given_twice_change_nothing(given, strategy, float64):
    found = []
    for copies in (1, 2):
        model = ddb.Model(point_set_problem(copies), network())
        weighting = ddb.weightings.get(strategy, update_every=3)
        model.compile("adam", lr=1e-2, loss_weights=weighting, point_weights=given, verbose=0)
        model.train(iterations=10, verbose=0)
        found.append((model.weights, model.point_weights["pde"]))
    (weights, once), (weights_of_both, twice) = found
    assert weights["ic0" if "ic0" in weights else "data0"] != 1.0
    assert weights_of_both == pytest.approx(weights, rel=1e-9)
    np.testing.assert_allclose(twice, np.concatenate([once, once]), rtol=1e-9)


@pytest.mark.parametrize("way", ENGINES)
def test_kernel_traces_are_of_weighed_errors(way, float64):
    data, net = klein_gordon(), network()
    parameters = list(net.parameters())
    traces = []
    for i, errors in enumerate(plain_errors(net, data)):
        w = early(data.train_x_all) if i == 0 else np.ones(len(errors))
        gradients = [
            torch.autograd.grad(e, parameters, retain_graph=True, allow_unused=True)
            for e in errors.reshape(-1)
        ]
        norms = [sum(g.square().sum().item() for g in gs if g is not None) for gs in gradients]
        traces.append(np.mean(w * norms))
    total = sum(traces)
    model = ddb.Model(data, net)
    model.compile(
        "adam", lr=1e-3, loss_weights="ntk-exact", point_weights={"pde": early},
        gradient_engine=way, verbose=0,
    )  # fmt: skip
    model.train(iterations=1, verbose=0)
    expected = [total / trace for trace in traces]
    assert list(model.weights.values()) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("way", ENGINES)
def test_a_system_has_one_weight_for_each_point_and_residual(way, float64):
    """RBA's maximum is that of each residual; causal weights are by the sum of both."""

    def pde(x, u):
        du = [dde.grad.jacobian(u, x, i=i, j=1) for i in range(2)]
        return [du[0] - u[:, 1:], du[1] + 5 * u[:, :1]]

    def build(given):
        dde.config.set_random_seed(1)
        base = klein_gordon()
        data = dde.data.TimePDE(base.geom, pde, [], num_domain=20)
        net = network((2, 8, 2))
        model = ddb.Model(data, net)
        model.compile("adam", lr=1e-3, point_weights=given, gradient_engine=way, verbose=0)
        with torch.no_grad():
            points = torch.tensor(data.train_x_all)
        points.requires_grad_()
        u = net(points)
        du = [
            torch.autograd.grad(u[:, i].sum(), points, retain_graph=True)[0][:, 1] for i in (0, 1)
        ]
        errors = [du[0] - u[:, 1], du[1] + 5 * u[:, 0]]
        model.train(iterations=1, verbose=0)
        return model, [e.detach().numpy() for e in errors], data.train_x_all[:, 1]

    model, errors, _ = build("rba")
    for i in range(2):
        size = np.abs(errors[i])
        np.testing.assert_allclose(
            model.point_weights[f"pde{i}"], (0.01 * size / size.max()) ** 2, rtol=1e-8
        )
    model, errors, times = build(ddb.Causal(chunks=4))
    order = np.argsort(times)
    total = (errors[0] ** 2 + errors[1] ** 2)[order].reshape(4, -1).mean(axis=1)
    expected = np.repeat(np.exp(-(np.cumsum(total) - total)), 5)
    for i in range(2):
        np.testing.assert_allclose(model.point_weights[f"pde{i}"][order], expected, rtol=1e-8)


@pytest.mark.parametrize("way", ENGINES)
def test_an_error_of_two_components_has_one_weight_per_point(way, float64):
    base = klein_gordon()
    points = np.random.default_rng(2).random((6, 2))
    values = np.stack([points[:, 0], points[:, 1] ** 2], axis=1)
    bc = dde.icbc.PointSetBC(points, values, component=[0, 1])
    data = dde.data.TimePDE(base.geom, lambda x, u: u[:, :1] - u[:, 1:], [bc], num_domain=20)
    net = network((2, 8, 2))
    twin = copy.deepcopy(net)
    model = ddb.Model(data, net)
    given: Any = {"data0": np.arange(6), "pde": "brdr:beta_w=0.5"}
    model.compile("sgd", lr=0.1, point_weights=given, gradient_engine=way, verbose=0)
    model.train(iterations=1, verbose=0)
    u = twin(torch.tensor(data.train_x_all))
    residual = u[:, 0] - u[:, 1]
    rate = residual.detach() ** 2 / ((residual.detach() ** 4).sqrt() + 1e-14)
    w = 0.5 + 0.5 * rate / rate.mean()
    e = twin(torch.tensor(points)) - torch.tensor(values)
    loss = (w * residual**2).mean() + (torch.arange(6.0, dtype=e.dtype)[:, None] * e**2).mean()
    loss.backward()
    expected = torch.cat([(p - 0.1 * p.grad).detach().reshape(-1) for p in twin.parameters()])
    torch.testing.assert_close(parameters_of(model), expected, rtol=1e-9, atol=1e-12)
