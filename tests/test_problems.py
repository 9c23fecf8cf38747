"""The benchmark problems: their solutions satisfy their equations, and their settings hold."""

import deepxde as dde
import numpy as np
import pytest
import torch

import deepxde_balance as ddb

NAMES = ddb.problems.names()


def exact_of(name):
    def klein_gordon(x):
        return x[:, 0:1] * torch.cos(5 * np.pi * x[:, 1:2]) + (x[:, 0:1] * x[:, 1:2]) ** 3

    def helmholtz(x):
        return torch.sin(np.pi * x[:, 0:1]) * torch.sin(4 * np.pi * x[:, 1:2])

    return {"klein-gordon": klein_gordon, "helmholtz": helmholtz}[name]


class Exact(torch.nn.Module):
    """A network that is the exact solution."""

    regularizer = None

    def __init__(self, name):
        super().__init__()
        self.zero = torch.nn.Parameter(torch.zeros(1))
        self.solution = exact_of(name)

    def forward(self, x):
        return self.solution(x) + self.zero * x[:, 0:1]


@pytest.mark.parametrize("name", NAMES)
def test_the_exact_solution_has_no_loss(name, float64):
    problem = ddb.problems.get(name, points=0.02)
    data = problem.data(np.random.default_rng(0))
    model = dde.Model(data, Exact(name))
    model.compile("adam", lr=1e-3, verbose=0)
    model.train(iterations=0, verbose=0)
    assert max(model.train_state.loss_train) < 1e-20
    errors = problem.errors(model)
    assert errors["L2RE"] < 1e-12 and errors["MAE"] < 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_errors_by_hand(name):
    """A network that is twice the solution is wrong by 100 %."""
    problem = ddb.problems.get(name)

    class Double:
        def predict(self, x):
            return 2 * problem.solution(x)

    errors = problem.errors(Double())
    assert errors["L2RE"] == pytest.approx(1.0)
    assert errors["MAE"] == pytest.approx(
        np.abs(problem.solution(problem.evaluation_points)).mean()
    )


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


def test_the_seed_fixes_points_and_network():
    problem = ddb.problems.get("klein-gordon", points=0.01)
    a, b, c = (problem.model("equal", seed=s, verbose=0) for s in (3, 3, 4))
    for first, second, same in ((a, b, True), (a, c, False)):
        assert np.array_equal(first.data.train_x_all, second.data.train_x_all) == same
        assert torch.equal(first.net.linears[0].weight, second.net.linears[0].weight) == same


def test_the_network_sees_normalised_inputs():
    model = ddb.problems.get("helmholtz", points=0.05).model(verbose=0)
    seen = []
    model.net.linears[0].register_forward_hook(lambda m, args, out: seen.append(args[0]))
    model.predict(model.data.train_x_all)
    torch.testing.assert_close(seen[0].mean(dim=0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen[0].std(dim=0, correction=0), torch.ones(2))


def test_shortened():
    problem = ddb.problems.get("klein-gordon", points=0.1, iterations=2000, update_every=10)
    assert problem.settings.num_points == {"residual": 1000, "boundary": 100, "initial": 100}
    assert problem.iterations == 2000
    assert problem.settings.decay_every == 10000
    assert problem.model(verbose=0).weighting.update_every == 10


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: ddb.problems.get("klein gordan"), ValueError, "Did you mean 'klein-gordon'"),
        (lambda: ddb.problems.get("helmholtz", points=0), ValueError, "points=0"),
        (lambda: ddb.problems.get("helmholtz", iterations=0), ValueError, "iterations=0"),
        (lambda: ddb.problems.get("helmholtz", breadth=3), TypeError, "breadth"),
    ],
)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()
