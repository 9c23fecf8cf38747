"""gradient_engine="fastest" against the uncompiled engine, and when it compiles."""

import copy
import pickle
import warnings
from typing import Any

import deepxde as dde
import pytest
import torch
from _support import scripts
from _support.engines import assert_same_parameters, build, trained, variables_of, weighting_for
from _support.features import FEATURES

import deepxde_balance as ddb
from deepxde_balance.gradients.compiled import fastest, pay_off

pytestmark = pytest.mark.usefixtures("large_problem")

#: Features that are traced; the others are there with every engine in test_compiled.py.
TRACED = ["robin", "many_groups", "user_module", "auxiliary_variables", "inverse_problem"]


def models(weights="db-std", iterations=12, engines=("fastest", "one-pass"), **kwargs):
    """A model of each engine, trained from the same seeds."""
    made = []
    for engine in engines:
        dde.config.set_random_seed(0)
        model = ddb.Model(scripts.klein_gordon(), scripts.network((2, 6, 1)))
        model.compile(
            "adam", lr=1e-2, loss_weights=weights, gradient_engine=engine, verbose=0, **kwargs
        )
        torch.manual_seed(1)
        model.train(iterations=iterations, display_every=4, verbose=0)
        made.append(model)
    return made


@pytest.mark.parametrize("feature", TRACED)
def test_features(feature, float64, compilations, compiling_pays):
    one, other = (
        trained(feature, weighting_for(feature), engine, 10) for engine in ("fastest", "one-pass")
    )
    assert (one.gradient_engine, len(compilations)) == ("compiled", 1)
    assert_same_parameters(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("feature", [f for f in FEATURES if f not in TRACED])
def test_other_features(feature, float64, compilations, compiling_pays):
    one, other = (
        trained(feature, weighting_for(feature), engine, 14) for engine in ("fastest", None)
    )
    assert len(compilations) == (0 if feature == "batches_of_data" else 1) or feature == (
        "refined_residual_points"
    )
    assert_same_parameters(one, other)


@pytest.mark.parametrize("weights", [None, "auto", "ntk:update_every=3", "uw", [1, 2, 0, 5]])
def test_strategies(weights, float64, compilations, compiling_pays):
    """Kernel traces and records come in between, and do not end it."""
    one, other = models(weights)
    assert (one.gradient_engine, len(compilations)) == ("compiled", 1)
    assert_same_parameters(one, other)


@pytest.mark.parametrize("given", ["rba", "sa", "causal:tolerance=0.01,chunks=3"])
def test_point_weights(given, float64, compilations, compiling_pays):
    one, other = models(point_weights={"pde": given, "ic2": "brdr"})
    assert (one.gradient_engine, len(compilations)) == ("compiled", 1)
    assert_same_parameters(one, other)


def test_a_setting_of_a_point_weighting_that_changes(float64, compilations, compiling_pays):
    made = []
    for engine in ("fastest", "one-pass"):
        (model,) = models(engines=[engine], point_weights={"pde": ddb.RBA(eta=0.01)})
        model.train_step.points.rules[0].eta = 0.3
        model.train(iterations=8, verbose=0)
        made.append(model)
    assert len(compilations) == 2
    assert_same_parameters(*made)


def test_one_training_after_another(float64, compilations, compiling_pays, optimizer_options):
    """L-BFGS is not compiled: how many evaluations it makes is unknown."""
    optimizer_options.lbfgs.update(maxiter=6, iter_per_step=3)
    one, other = models()
    for model in (one, other):
        model.train(iterations=4, verbose=0)
    assert len(compilations) == 1
    for model, engine in ((one, "fastest"), (other, "one-pass")):
        model.compile("L-BFGS", loss_weights="keep", gradient_engine=engine, verbose=0)
        model.train(verbose=0)
    assert (one.gradient_engine, len(compilations)) == ("one-pass", 1)
    assert_same_parameters(one, other, 1e-8)


def test_a_restored_run(float64, compilations, compiling_pays, tmp_path):
    unbroken, _ = build("inverse_problem", loss_weights="db-std", gradient_engine="fastest")
    unbroken.train(iterations=9, verbose=0)
    path = unbroken.save(str(tmp_path / "model"))
    restored, _ = build("inverse_problem", loss_weights="db-std", gradient_engine="fastest")
    restored.restore(path)
    for model in (unbroken, restored):
        model.train(iterations=9, verbose=0)
    assert_same_parameters(restored, unbroken)


def test_copies(float64, compilations, compiling_pays):
    """A copy watches, traces and compiles by itself."""
    (model,) = models(engines=["fastest"])
    other = copy.deepcopy(model)
    for each in (model, other):
        each.train(iterations=7, verbose=0)
    assert (model.gradient_engine, other.gradient_engine) == ("compiled", "compiled")
    assert_same_parameters(model, other)
    state = model.train_step.engine.__getstate__()
    pickle.dumps({name: state[name] for name in ("_reads", "_iteration", "_last", "_pay_off")})


def test_no_compiler_and_no_word(float64, compiling_pays, monkeypatch):
    def fail(traced):
        raise RuntimeError("no working C++ compiler found")

    monkeypatch.setattr(fastest, "compile_graph", fail)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one, other = models()
    assert one.gradient_engine == "one-pass"
    assert torch.equal(variables_of(one), variables_of(other))


def test_a_short_training_is_the_uncompiled_one(compilations):
    one, other = models(iterations=30)
    assert not compilations
    assert torch.equal(variables_of(one), variables_of(other))


def test_points_that_are_new_in_each_iteration_are_not_traced(compilations, monkeypatch):
    """By the pay-off itself, where a trace and a compilation cost next to nothing."""
    monkeypatch.setattr(pay_off, "COMPILE_SECONDS", 1e-9)
    monkeypatch.setattr(pay_off, "TRACES_OF_A_COMPILATION", 0.0)
    monkeypatch.setattr(pay_off, "_TRACE_SECONDS", 0.0)
    data = scripts.klein_gordon()
    net = scripts.network((2, 6, 1))
    model = ddb.Model(data, net)
    model.compile("adam", lr=1e-2, loss_weights="uw", gradient_engine="fastest", verbose=0)
    model.train(iterations=40, callbacks=[dde.callbacks.PDEPointResampler(period=1)], verbose=0)
    assert not compilations


def test_what_it_leaves_to_the_uncompiled_engine():
    for given in ({"points_per_pass": 10}, {"optimizer": "NNCG"}):
        model = ddb.Model(scripts.klein_gordon(), scripts.network())
        arguments: dict[str, Any] = {"optimizer": "adam", "lr": 1e-3, "loss_weights": "dn"} | given
        model.compile(gradient_engine="fastest", verbose=0, **arguments)
        assert model.gradient_engine == "one-pass"


@pytest.mark.slow
def test_compiled_for_real(float64, compiling_pays):
    """A Python number changes after the first training."""
    nu = [0.3]
    made = []
    for engine in ("fastest", "one-pass"):
        nu[0] = 0.3
        dde.config.set_random_seed(0)
        data = scripts.klein_gordon(
            pde=lambda x, u: scripts.klein_gordon_residual(x, u) + nu[0] * u
        )
        model = ddb.Model(data, scripts.network((2, 6, 1)))
        model.compile("adam", lr=1e-2, loss_weights="db-std", gradient_engine=engine, verbose=0)
        model.train(iterations=10, verbose=0)
        nu[0] = 2.0
        model.train(iterations=10, verbose=0)
        made.append(model)
    assert made[0].gradient_engine == "compiled"
    assert_same_parameters(*made)
