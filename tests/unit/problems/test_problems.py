"""The benchmark problems: their solutions satisfy their equations, and their settings hold."""

import contextlib

import deepxde as dde
import numpy as np
import pytest
import torch

import deepxde_balance as ddb
from deepxde_balance.problems import allen_cahn, burgers, navier_stokes

NAMES = ddb.problems.names()

EXACT = {
    "klein-gordon": lambda x: (
        x[:, 0:1] * torch.cos(5 * np.pi * x[:, 1:2]) + (x[:, 0:1] * x[:, 1:2]) ** 3
    ),
    "helmholtz": lambda x: torch.sin(np.pi * x[:, 0:1]) * torch.sin(4 * np.pi * x[:, 1:2]),
    "wave": lambda x: (
        torch.sin(np.pi * x[:, 0:1]) * torch.cos(2 * np.pi * x[:, 1:2])
        + 0.5 * torch.sin(4 * np.pi * x[:, 0:1]) * torch.cos(8 * np.pi * x[:, 1:2])
    ),
    "poisson": lambda x: torch.cos(4 * np.pi * x[:, 0:1]) * torch.sin(4 * np.pi * x[:, 1:2]),
    "harmonic": lambda t: torch.cos(2 * np.pi * t),
}


class Function(torch.nn.Module):
    """A network that is a given function."""

    regularizer = None

    def __init__(self, function):
        super().__init__()
        self.zero = torch.nn.Parameter(torch.zeros(1))
        self.function = function

    def forward(self, x):
        return self.function(x) + self.zero * x[:, 0:1]


@pytest.mark.parametrize("name", EXACT)
def test_the_exact_solution_has_no_loss(name, float64):
    problem = ddb.problems.get(name, points=0.02)
    data = problem.data(np.random.default_rng(0))
    model = dde.Model(data, Function(EXACT[name]))
    model.compile("adam", lr=1e-3, verbose=0)
    model.train(iterations=0, verbose=0)
    assert max(model.train_state.loss_train) < 1e-20
    errors = problem.errors(model)
    assert errors["L2RE"] < 1e-12 and errors["MAE"] < 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_solution_has_a_loss_in_every_term(name, float64):
    problem = ddb.problems.get(name, points=0.02)
    wrong = torch.arange(2.0, problem.num_outputs + 2, dtype=torch.float64)
    data = problem.data(np.random.default_rng(0))
    model = dde.Model(data, Function(lambda x: wrong * torch.exp(x.sum(dim=1, keepdim=True))))
    model.compile("adam", lr=1e-3, verbose=0)
    model.train(iterations=0, verbose=0)
    assert min(model.train_state.loss_train) > 1e-3


def residual_of(residual, function, x):
    x = torch.as_tensor(x).requires_grad_()
    found = residual(x, function(x))
    dde.gradients.clear()
    return [r.detach() for r in found] if isinstance(found, list) else found.detach()


def test_the_residual_of_burgers(float64):
    """For u = sin(x) exp(-t), by hand."""
    x = np.random.default_rng(0).random((20, 2))
    found = residual_of(
        burgers.Residual(3.0, 0.25), lambda x: torch.sin(x[:, 0:1]) * torch.exp(-x[:, 1:2]), x
    )
    u, u_x = np.sin(x[:, 0:1]) * np.exp(-x[:, 1:2]), np.cos(x[:, 0:1]) * np.exp(-x[:, 1:2])
    np.testing.assert_allclose(found.numpy(), -u + 3 * u * u_x + 0.25 * u, atol=1e-14)


def test_the_residual_of_allen_cahn(float64):
    x = np.random.default_rng(0).random((20, 2))
    found = residual_of(
        allen_cahn.residual, lambda x: torch.sin(x[:, 0:1]) * torch.exp(-x[:, 1:2]), x
    )
    u = np.sin(x[:, 0:1]) * np.exp(-x[:, 1:2])
    np.testing.assert_allclose(found.numpy(), -u + 1e-4 * u + 5 * u**3 - 5 * u, atol=1e-14)


def test_kovasznay_flow_has_no_residual(float64):
    """An exact solution of the steady Navier-Stokes equations at any Re: Kovasznay (1948)."""
    k = 50 - np.sqrt(50**2 + 4 * np.pi**2)

    def flow(x):
        s, y = x[:, 0:1], 2 * np.pi * x[:, 1:2]
        psi = x[:, 1:2] - torch.exp(k * s) * torch.sin(y) / (2 * np.pi)
        return torch.cat([psi, -torch.exp(2 * k * s) / 2], dim=1)

    x = np.random.default_rng(0).random((50, 2))
    for residual in residual_of(navier_stokes.residual, flow, x):
        assert residual.abs().max() < 1e-12
    wrong = residual_of(navier_stokes.residual, lambda x: 2 * flow(x), x)
    assert all(residual.abs().max() > 1e-2 for residual in wrong)


@pytest.mark.parametrize("name", ["burgers", "burgers-inverse", "allen-cahn", "wave"])
def test_targets_are_the_references_values(name, float64):
    problem = ddb.problems.get(name, points=0.1)
    sets = [
        bc for bc in problem.data(np.random.default_rng(0)).bcs if type(bc) is dde.icbc.PointSetBC
    ]
    assert sets
    for bc in sets:
        np.testing.assert_allclose(bc.values.numpy(), problem.solution(bc.points), atol=1e-9)


def test_allen_cahn_is_periodic_at_equispaced_points(float64):
    data = ddb.problems.get("allen-cahn").data(np.random.default_rng(0))
    for condition, order in zip(data.bcs, (0, 1), strict=False):
        left, right = np.split(condition.collocation_points(data.train_x_all), 2)
        assert np.all(left[:, 0] == -1) and np.all(right[:, 0] == 1)
        np.testing.assert_allclose(left[:, 1], np.linspace(0, 1, 100))
        np.testing.assert_array_equal(left[:, 1], right[:, 1])
        x = torch.as_tensor(np.concatenate([left, right])).requires_grad_()
        # u = sin(x) t: u(-1) - u(1) = -2 sin(1) t, and u_x is the same at both ends
        error = condition.error(x, x, torch.sin(x[:, 0:1]) * x[:, 1:2], 0, len(x))
        expected = -2 * np.sin(1) * left[:, 1:2] if order == 0 else 0 * left[:, 1:2]
        np.testing.assert_allclose(error.detach().numpy(), expected, atol=1e-14)
        dde.gradients.clear()


def test_cavity_points_and_conditions(float64):
    data = ddb.problems.get("navier-stokes").data(np.random.default_rng(0))
    points = [bc.points for bc in data.bcs[::2]]
    left, right, bottom, lid = points
    assert np.all(left[:, 0] == 0) and np.all(right[:, 0] == 1) and np.all(bottom[:, 1] == 0)
    assert np.all(lid[:, 1] == 1)
    for side, along in ((left, 1), (right, 1), (bottom, 0), (lid, 0)):
        assert np.ptp(np.diff(side[:, along])) < 1e-12
    # No point has two targets: the lid's corners are the lid's.
    assert left[:, 1].max() < 1 and right[:, 1].max() < 1 and bottom[:, 0].max() == 1
    assert lid[0].tolist() == [0, 1] and lid[-1].tolist() == [1, 1]
    assert [float(bc.values.unique()) for bc in data.bcs] == [0, 0, 0, 0, 0, 0, 1, 0]
    strata = np.sort((data.train_x_all * len(data.train_x_all)).astype(int), axis=0)
    assert np.array_equal(strata[:, 0], np.arange(20000))  # a Latin hypercube: one in each


def test_the_cavitys_error_is_that_of_the_speed():
    problem = ddb.problems.get("navier-stokes", points=0.02)
    model = problem.model("equal", verbose=0)
    x = np.random.default_rng(0).random((5, 2)).astype(np.float32)
    h = np.float32(1e-2)
    psi = [
        model.predict(x + h * np.array(d, np.float32))[:, 0]
        for d in ((0, 1), (0, -1), (1, 0), (-1, 0))
    ]
    u, v = (psi[0] - psi[1]) / (2 * h), -(psi[2] - psi[3]) / (2 * h)
    np.testing.assert_allclose(problem.outputs(model, x)[:, 0], np.hypot(u, v), rtol=2e-2)
    assert problem.evaluation_points.shape == (10000, 2)


def told_of_one_condition(name):
    """The warning of difficulty shares where one group of conditions leaves nothing to share."""
    if name in ("poisson", "allen-cahn-dn", "harmonic"):
        return pytest.warns(UserWarning, match="There is one condition group")
    return contextlib.nullcontext()


@pytest.mark.parametrize("weights", ["db-mean", "gw-mean", "equal"])
@pytest.mark.parametrize("name", NAMES)
def test_every_problem_trains_on_the_one_pass_engine(name, weights):
    problem = ddb.problems.get(name, points=0.02, iterations=2, lbfgs_iterations=0)
    with told_of_one_condition(name if weights == "db-mean" else None):
        model = problem.model(weights, verbose=0, gradient_engine="one-pass")
    before = [p.detach().clone() for p in model.net.parameters()]
    problem.train(model, verbose=0)
    assert model.gradient_engine == "one-pass"
    assert model.train_state.step == 2
    assert np.isfinite(model.train_state.loss_train).all()
    assert any(not torch.equal(p, q) for p, q in zip(before, model.net.parameters(), strict=True))
    weighted = {k: w for k, w in model.weights.items() if k != "pde"}
    if weights == "equal":
        assert set(weighted.values()) == {1.0}
    else:
        assert all(w != 1 for w in weighted.values())


def test_dns_periodic_conditions_stay_unweighted():
    model = ddb.problems.get("allen-cahn-dn", points=0.02).model("dn", verbose=0)
    groups = model.train_step.engine.groups
    unweighted = [groups.terms[i].condition for i in groups.unweighted]
    assert unweighted == model.data.bcs[:2]


def test_klein_gordon_has_the_papers_points():
    problem = ddb.problems.get("klein-gordon")
    data = problem.data(np.random.default_rng(0))
    assert data.num_bcs == [1000, 1000, 1000, 1000]
    assert len(data.train_x_all) == 10000
    assert (problem.iterations, problem.settings.decay_every) == (20000, 10000)
    model = ddb.problems.get("klein-gordon", points=0.01).model(verbose=0)
    assert model.weighting.update_every == 100
    assert list(model.weights) == ["pde", "bc", "ic"]


def test_helmholtz_balances_x_sides_against_y_sides():
    problem = ddb.problems.get("Helmholtz", points=0.05)
    assert list(problem.model("db-mean", verbose=0).weights) == ["pde", "x", "y"]
    gw = problem.model("gw-mean", verbose=0)
    assert list(gw.weights) == ["pde", "bc"]
    assert gw.weighting.average.alpha == 0.5
    x_sides = problem.data(np.random.default_rng(0)).bcs[:2]
    assert all(np.all(np.abs(bc.points[:, 0]) == 1) for bc in x_sides)
