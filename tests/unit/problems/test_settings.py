"""Settings are the papers', and can be changed."""

import contextlib

import numpy as np
import pytest
import torch

import deepxde_balance as ddb

NAMES = ddb.problems.names()


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


def test_lbfgs_is_shortened_with_adam():
    assert ddb.problems.get("burgers-inverse", iterations=2000).settings.lbfgs_iterations == 2000
    given = ddb.problems.get("burgers-inverse", iterations=100, lbfgs_iterations=7)
    assert given.settings.lbfgs_iterations == 7
    longer = ddb.problems.get("burgers-inverse", iterations=50000)
    assert longer.settings.lbfgs_iterations == 5000
