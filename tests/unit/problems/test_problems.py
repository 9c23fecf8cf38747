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


# From the papers' tables, by hand: width, depth, residual points, points of each condition,
# iterations, decay, update_every, alpha, groups.
TABLE = {
    "klein-gordon": (50, 3, 10000, [1000] * 4, 20000, (10000, 0.1), 100, 0.5, ["bc", "ic"]),
    "klein-gordon-plain": (50, 3, 10000, [1000] * 4, 20000, (10000, 0.1), 100, 0.5, ["bc", "ic"]),
    "wave": (500, 5, 20000, [2 * 1250 + 2500, 2500], 80000, (2000, 0.9), 50, 0.1, ["u", "ut"]),
    "helmholtz": (50, 4, 20000, [100] * 4, 30000, (10000, 0.1), 10, 0.5, ["x", "y"]),
    "allen-cahn": (128, 4, 20000, [200, 200, 512], 80000, None, 100, 0.1, ["bc", "ic"]),
    "burgers-inverse": (
        20, 8, 10000, [100, 100, 100, 300], 5000, None, 10, 0.1, ["bc", "ic", "data"],
    ),
    "navier-stokes": (50, 3, 20000, [100] * 8, 40000, None, 10, 0.1, ["walls", "lid"]),
    "burgers": (20, 8, 10000, [100, 100, 100], 30000, None, 10, 0.1, ["bc", "ic"]),
    "poisson": (50, 4, 2500, [400], 30000, None, 10, 0.1, ["bc"]),
    "allen-cahn-dn": (128, 4, 20000, [200, 200, 512], 50000, None, 10, 0.1, ["ic"]),
    "harmonic": (32, 3, 100, [1, 1], 2000, None, 100, 0.1, ["ic"]),
}  # fmt: skip


def told_of_one_condition(groups):
    """The warning of difficulty shares where one group of conditions leaves nothing to share."""
    if len(groups) == 1:
        return pytest.warns(UserWarning, match="There is one condition group")
    return contextlib.nullcontext()


def test_the_table_has_all():
    assert sorted(NAMES) == sorted(TABLE)


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_the_papers(name):
    width, depth, residual, conditions, iterations, decay, every, alpha, groups = TABLE[name]
    problem = ddb.problems.get(name)
    data = problem.data(np.random.default_rng(0))
    assert data.num_bcs == conditions
    assert len(data.train_x_all) == residual
    assert problem.iterations == iterations
    net = problem.net(data)
    layers = [layer.in_features for layer in net.linears] + [net.linears[-1].out_features]
    assert layers == [len(problem.domain[0]), *[width] * depth, problem.num_outputs]
    assert torch.equal(net.activation(torch.ones(1)), torch.tanh(torch.ones(1)))
    small = ddb.problems.get(name, points=0.02)
    model = small.model("gw-std", verbose=0)
    assert model.weighting.update_every == every
    assert model.weighting.average.alpha == alpha
    assert model.opt.param_groups[0]["lr"] == 1e-3
    if decay is None:
        assert model.lr_scheduler is None
    else:
        assert (model.lr_scheduler.step_size, model.lr_scheduler.gamma) == decay
    expected = (0.99, 0.999) if name == "burgers-inverse" else (0.9, 0.999)
    assert model.opt.param_groups[0]["betas"] == expected
    assert small.settings.lbfgs_iterations == (5000 if name == "burgers-inverse" else 0)
    if name not in ("helmholtz", "navier-stokes"):
        assert list(model.weights) == ["pde", *groups]
    with told_of_one_condition(groups):
        db = small.model("db-mean", verbose=0)
    assert list(db.weights) == ["pde", *groups]
    assert db.weighting.update_every == every


def test_the_learning_rate_decays():
    problem = ddb.problems.get("wave", points=0.01, decay_every=2, width=8)
    model = problem.model("equal", verbose=0)
    model.train(iterations=4, verbose=0)
    assert model.opt.param_groups[0]["lr"] == pytest.approx(0.9**2 * 1e-3)


@pytest.mark.parametrize("weights", ["db-mean", "gw-mean", "equal"])
@pytest.mark.parametrize("name", NAMES)
def test_every_problem_trains_on_the_one_pass_engine(name, weights):
    problem = ddb.problems.get(name, points=0.02, iterations=2, lbfgs_iterations=0)
    with told_of_one_condition(TABLE[name][-1] if weights == "db-mean" else ()):
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
    groups = model._step.engine.groups
    unweighted = [groups.terms[i].condition for i in groups.unweighted]
    assert unweighted == model.data.bcs[:2]


def test_dns_networks_see_the_domain_as_a_box():
    for name in ("burgers", "poisson", "allen-cahn-dn"):
        problem = ddb.problems.get(name, points=0.02)
        model = problem.model("equal", verbose=0)
        seen = []
        model.net.linears[0].register_forward_hook(lambda m, args, out, s=seen: s.append(args[0]))
        model.predict(np.array(problem.domain, np.float32))
        assert seen[0].tolist() == [[-1, -1], [1, 1]]
        weight = model.net.linears[1].weight
        width = weight.shape[0]
        assert weight.std().item() == pytest.approx(width**-0.5, rel=0.15)


def test_the_plain_network_sees_the_inputs_as_they_are():
    model = ddb.problems.get("klein-gordon-plain", points=0.02).model("equal", verbose=0)
    seen = []
    model.net.linears[0].register_forward_hook(lambda m, args, out: seen.append(args[0]))
    model.predict(np.array([[0, 0.25], [1, 0.75]], np.float32))
    assert seen[0].tolist() == [[0, 0.25], [1, 0.75]]
    assert model.net.linears[1].weight.std().item() == pytest.approx(50**-0.5, rel=0.1)


def test_dbs_networks_start_with_tanhs_gain():
    weight = ddb.problems.get("klein-gordon", points=0.02).model(verbose=0).net.linears[1].weight
    assert weight.std().item() == pytest.approx(5 / 3 * 50**-0.5, rel=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_errors_by_hand(name):
    """A network that is twice the solution is wrong by 100 %."""
    problem = ddb.problems.get(name)

    class Double:
        def predict(self, x, operator=None):
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
        (lambda: ddb.problems.get("helmholtz", widht=3), TypeError, "Did you mean 'width'"),
        (lambda: ddb.problems.get("helmholtz", num_points=5), ValueError, "residual', 'boundary'"),
        (
            lambda: ddb.problems.get("helmholtz", num_points={"residual": 5}),
            ValueError,
            "each of 'residual', 'boundary'",
        ),
        (
            lambda: ddb.problems.get("poisson", num_points={"residual": 5, "boundary": 5, "x": 5}),
            ValueError,
            "each of 'residual', 'boundary', and no other",
        ),
        (
            lambda: ddb.problems.get("poisson", num_points={"residual": 5, "boundary": 0.5}),
            ValueError,
            r"num_points\['boundary'\]=0.5",
        ),
        (
            lambda: ddb.problems.get("harmonic", points=0.5, num_points={"residual": 5}),
            ValueError,
            "points=0.5 has no effect beside num_points",
        ),
        (
            lambda: ddb.problems.get("poisson", decay_rate=0.5),
            ValueError,
            "decay_rate=0.5 has no effect without decay_every",
        ),
        (
            lambda: ddb.problems.get("wave", decay_every=None, decay_rate=0.5),
            ValueError,
            "decay_rate=0.5 has no effect without decay_every",
        ),
        (
            lambda: ddb.problems.get("poisson", decay_every=100),
            ValueError,
            "decay_every=100 has no effect with decay_rate=1",
        ),
    ],
)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("changes", [{"decay_every": None}, {"decay_rate": 1}])
def test_a_decay_can_be_left_out(changes):
    model = ddb.problems.get("wave", points=0.01, width=8, **changes).model("equal", verbose=0)
    model.train(iterations=1, verbose=0)
    assert model.opt.param_groups[0]["lr"] == 1e-3


@pytest.mark.parametrize(
    "name, kind",
    [
        *((name, "residual") for name in ("klein-gordon", "wave", "helmholtz", "allen-cahn")),
        ("burgers-inverse", "residual"),
        ("burgers-inverse", "data"),
    ],
)
def test_the_grid_has_no_more_points(name, kind):
    few = dict.fromkeys(ddb.problems.get(name).settings.num_points, 2)
    all_of_them = ddb.problems.get(name, num_points=few | {kind: 1002001})
    assert all_of_them.settings.num_points[kind] == 1002001
    with pytest.raises(ValueError, match=rf"{kind}'\]=1002002 .* 1001 x 1001 grid"):
        ddb.problems.get(name, num_points=few | {kind: 1002002})


def test_other_points_are_drawn_without_a_grid():
    for name in ("allen-cahn-dn", "burgers", "harmonic", "navier-stokes", "poisson"):
        assert ddb.problems.get(name, points=20000).settings.num_points["residual"] > 1002001


@pytest.mark.parametrize("name", [n for n in ddb.weightings.names() if n not in ("equal", "keep")])
def test_an_update_every_that_is_given_is_every_strategys(name):
    for every in (7, 10):  # 10 is the paper's
        problem = ddb.problems.get("helmholtz", update_every=every)
        assert problem.weighting(name).update_every == every
        assert problem.weighting(name, update_every=3).update_every == 3


def test_the_papers_update_every_is_its_strategies():
    problem = ddb.problems.get("helmholtz")
    names = ("gw-mean", "dn", "dn-l1", "db-kurtosis", "grad-norm", "ntk", "config", "uw", "sa")
    found = [problem.weighting(name).update_every for name in names]
    assert found == [10, 10, 10, 10, 100, 100, 1, 1, 1]
    fixed = ddb.problems.get("helmholtz", points=0.02, update_every=7)
    assert not fixed.weighting("equal").dynamic
    assert fixed.model(ddb.DN(update_every=5), verbose=0).weighting.update_every == 5


def test_lbfgs_is_shortened_with_adam():
    assert ddb.problems.get("burgers-inverse", iterations=2000).settings.lbfgs_iterations == 2000
    given = ddb.problems.get("burgers-inverse", iterations=100, lbfgs_iterations=7)
    assert given.settings.lbfgs_iterations == 7
    longer = ddb.problems.get("burgers-inverse", iterations=50000)
    assert longer.settings.lbfgs_iterations == 5000
