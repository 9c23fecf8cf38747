"""Several processes against one: the same losses, gradients, weights and parameters."""

import warnings
from typing import Any

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import scripts
from _support.engines import trained, variables_of, weighting_for
from _support.features import FEATURES, FORWARD
from _support.processes import on_ranks

import deepxde_balance as ddb
from deepxde_balance._deepxde.lbfgs import limit_iterations
from deepxde_balance.gradients import checked
from deepxde_balance.ranks import current

pytestmark = pytest.mark.usefixtures("float64")


def state_of(model):
    points = {name: torch.from_numpy(w) for name, w in model.point_weights.items()}
    weights = torch.tensor(list(model.weights.values()))
    return {"parameters": variables_of(model), "weights": weights} | points


def assert_same_on_all(size, folder, function, tolerance=1e-8):
    """`function` gives each rank what it gives a single process, and all ranks the very same."""
    alone = function()
    on_each = on_ranks(size, folder, lambda ranks: function())
    for found in on_each:
        torch.testing.assert_close(found, alone, rtol=tolerance, atol=0)
        torch.testing.assert_close(found, on_each[0], rtol=0, atol=0)


@pytest.mark.parametrize(
    "weights",
    ["db-kurtosis", "ntk", *(pytest.param(w, marks=pytest.mark.slow) for w in ("auto", "sa"))],
)
def test_fifty_iterations_are_those_of_one_process(weights, tmp_path):
    def train():
        model = ddb.Model(scripts.klein_gordon(), scripts.network())
        model.compile("adam", lr=1e-2, loss_weights=weights, verbose=0)
        model.train(iterations=50, display_every=25, verbose=0)
        return state_of(model)

    assert_same_on_all(2, tmp_path, train)


#: Points in pairs, in mini-batches and one by one, fewer than ranks.
SHARED_OTHERWISE = ["batches_of_data", "ode_system", "periodic", "point_sets"]


def assert_features_train_alike(features, engine, folder, size=3):
    def train():
        return {
            feature: state_of(trained(feature, weighting_for(feature), engine))
            for feature in features
        }

    assert_same_on_all(size, folder, train)


def test_points_of_every_kind_are_shared(tmp_path):
    assert_features_train_alike(SHARED_OTHERWISE, "one-pass", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["one-pass", "per-group"])
def test_every_feature_trains_as_in_one_process(engine, tmp_path):
    assert_features_train_alike(FEATURES, engine, tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("forward_autodiff")
def test_forward_autodiff_trains_as_in_one_process(tmp_path):
    assert_features_train_alike(FORWARD, "one-pass", tmp_path, size=2)


@pytest.mark.parametrize(
    "rule", ["brdr", *(pytest.param(r, marks=pytest.mark.slow) for r in ("rba", "causal", "sa"))]
)
def test_point_weights_follow_resampled_points(rule, tmp_path):
    def train():
        model = ddb.Model(scripts.klein_gordon(), scripts.network())
        model.compile("adam", lr=1e-2, loss_weights="auto", point_weights=rule, verbose=0)
        resample = dde.callbacks.PDEPointResampler(period=4)
        model.train(iterations=10, display_every=5, callbacks=[resample], verbose=0)
        return state_of(model)

    assert_same_on_all(2, tmp_path, train)


def test_lbfgs_after_adam(tmp_path, optimizer_options):
    limit_iterations(10)

    def train():
        model = ddb.Model(scripts.klein_gordon(), scripts.network())
        model.compile("adam", lr=1e-2, loss_weights="dn", verbose=0)
        model.train(iterations=5, verbose=0)
        model.compile("L-BFGS", loss_weights="keep", verbose=0)
        model.train(verbose=0)
        return state_of(model)

    assert_same_on_all(2, tmp_path, train)


@pytest.mark.slow
def test_the_compiled_engine_gives_the_same(tmp_path, compilations):
    def train():
        model = ddb.Model(scripts.laplace(), scripts.network())
        model.compile("adam", lr=1e-2, loss_weights="gw-std", gradient_engine="compiled", verbose=0)
        model.train(iterations=3, verbose=0)
        assert model.gradient_engine == "compiled"
        return state_of(model)

    assert_same_on_all(2, tmp_path, train)


def test_point_weights_are_computed_uncompiled_and_told_so(tmp_path):
    def train(engine):
        model = ddb.Model(scripts.laplace(), scripts.network())
        weights: dict[str, Any] = {"loss_weights": "gw-std", "point_weights": "rba"}
        model.compile("adam", lr=1e-2, gradient_engine=engine, verbose=0, **weights)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            model.train(iterations=3, verbose=0)
        assert model.gradient_engine == "one-pass"
        return state_of(model), [str(warning.message) for warning in told]

    alone, _ = train("one-pass")
    for state, told in on_ranks(2, tmp_path, lambda ranks: train("compiled")):
        assert len(told) == 1 and '"compiled" can\'t be used with point weights' in told[0]
        torch.testing.assert_close(state, alone, rtol=1e-8, atol=0)


class TwoNetworks(dde.nn.NN):
    """One network left of the middle and another one right of it, each asked only if needed."""

    def __init__(self):
        super().__init__()
        self.parts = torch.nn.ModuleList([scripts.network((1, 6, 1), seed) for seed in (0, 1)])

    def forward(self, x):
        u = torch.zeros_like(x)
        for part, inside in zip(self.parts, (x < 0.5, x >= 0.5), strict=True):
            if inside.any():
                u = u + inside * part(x)
        return u


@pytest.mark.parametrize("engine", ["one-pass", "per-group"])
def test_a_rank_without_points_in_a_subdomain_trains_its_network_too(engine, tmp_path):
    """The points are from left to right, so that those of a rank are all in one half."""

    def train():
        geom = dde.geometry.Interval(0, 1)
        ends = dde.icbc.DirichletBC(geom, lambda x: 1 + x, lambda _, on: on)
        slopes = dde.icbc.NeumannBC(geom, lambda x: x, lambda _, on: on)
        points = np.linspace(0, 1, 20)[:, None]

        def pde(x, u):
            return dde.grad.hessian(u, x) - 1

        data = dde.data.PDE(geom, pde, [ends, slopes], anchors=points)
        model = ddb.Model(data, TwoNetworks())
        weights = ddb.DB("kurtosis", update_every=2)
        model.compile("adam", lr=1e-2, loss_weights=weights, gradient_engine=engine, verbose=0)
        model.train(iterations=6, verbose=0)
        return state_of(model)

    assert_same_on_all(2, tmp_path, train)


@pytest.mark.filterwarnings("ignore:Rank 1 can't use the one-pass engine")
@pytest.mark.parametrize("first_check", [0, 1])
def test_an_engine_that_one_rank_must_give_up(first_check, tmp_path, monkeypatch):
    """Rank 1 gives it up at compile, or where the points are new, with its errors exchanged."""
    monkeypatch.setattr(checked, "_EVALUATIONS_BETWEEN_CHECKS", 0)
    checks = []

    def difference(self, engine, batch, expected):
        checks.append(batch)
        ranks = current()
        given_up = ranks is not None and ranks.rank == 1 and len(checks) > first_check
        return "was given up" if given_up else None

    monkeypatch.setattr(checked.CheckedEngine, "_difference", difference)

    def train():
        checks.clear()
        data = scripts.klein_gordon(num_domain=300)
        model = ddb.Model(data, scripts.network())
        groups = {"ics": [1, 2], "bc": [0]}  # another order than that of the terms
        weights: dict[str, Any] = {"loss_weights": ddb.DN(update_every=1), "point_weights": "brdr"}
        model.compile("adam", lr=1e-2, loss_groups=groups, verbose=0, **weights)
        resample = dde.callbacks.PDEPointResampler(period=2)
        model.train(iterations=5, callbacks=[resample], verbose=0)
        assert model.gradient_engine == ("per-group" if current() else "one-pass")
        return state_of(model)

    assert_same_on_all(2, tmp_path, train)


def test_the_monitor_observes_the_gradients_of_all_points(tmp_path):
    def observe():
        model = ddb.Model(scripts.klein_gordon(), scripts.network())
        model.compile("adam", lr=1e-2, loss_weights="db-kurtosis", verbose=0)
        monitor = ddb.GradientMonitor(period=2)
        model.train(iterations=4, callbacks=[monitor], verbose=0)
        return {"norms": monitor.gradient_norms, "losses": monitor.losses}

    assert_same_on_all(2, tmp_path, observe)


@pytest.mark.slow
def test_every_strategy_has_the_weights_of_one_process(tmp_path):
    def train():
        found = {}
        for name in ddb.weightings.names():
            if name == "keep":
                continue
            dde.config.set_random_seed(5)
            model = ddb.Model(scripts.klein_gordon(), scripts.network())
            weighting = ddb.weightings.get(name)
            model.compile("adam", lr=1e-2, loss_weights=weighting, verbose=0)
            model.train(iterations=12, display_every=6, verbose=0)
            found[name] = state_of(model)
        return found

    assert_same_on_all(2, tmp_path, train)
