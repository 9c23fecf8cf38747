"""The one-pass engine against one backward per group on DeepXDE's own losses, for each feature;
and ddb.Model under `equal` against stock dde.Model for the same scripts.
"""

from typing import Any

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import features, scripts
from _support.engines import (
    assert_same_gradients,
    build,
    variables_of,
    weighting_for,
)
from _support.features import FEATURES, FORWARD

import deepxde_balance as ddb
from deepxde_balance._deepxde.batch import Batch

pytestmark = pytest.mark.usefixtures("large_problem")


def pair(feature, **kwargs):
    return [
        build(feature, loss_weights=weighting_for(feature), gradient_engine=engine, **kwargs)
        for engine in ("one-pass", "per-group")
    ]


def assert_same_training(feature, **kwargs):
    (one, script), (per, _) = pair(feature, **kwargs)
    assert_same_gradients(one, per)
    (one, script), (per, script_per) = pair(feature, **kwargs)
    for model, callbacks in ((one, script.callbacks), (per, script_per.callbacks)):
        dde.config.set_random_seed(13)
        model.train(iterations=20, display_every=7, callbacks=callbacks, verbose=0)
    assert one.gradient_engine == "one-pass"
    assert per.gradient_engine == "per-group"
    torch.testing.assert_close(variables_of(one), variables_of(per), rtol=1e-10, atol=1e-10)
    assert one.weights == pytest.approx(per.weights, rel=1e-8)


@pytest.mark.parametrize("feature", FEATURES)
def test_equal_to_one_backward_per_group(feature, float64):
    assert_same_training(feature)


@pytest.mark.parametrize("feature", FORWARD)
def test_forward_autodiff(feature, float64, forward_autodiff):
    assert_same_training(feature)
    assert_same_as_stock(feature)


@pytest.mark.parametrize(
    "feature, optimizer",
    [
        ("dirichlet_ic_operator", "L-BFGS"),
        ("inverse_problem", "L-BFGS"),
        ("dirichlet_ic_operator", "NNCG"),  # which takes no external variables
    ],
)
def test_second_order_optimizers(feature, optimizer, float64, optimizer_options):
    optimizer_options.lbfgs.update(maxiter=6, iter_per_step=3)
    optimizer_options.nncg.update(updatefreq=2, rank=5, cgmaxiter=3, mu=10.0)
    models = [model for model, _ in pair(feature, optimizer=optimizer, lr=None)]
    for model in models:
        torch.manual_seed(0)
        model.train(**({"iterations": 3} if optimizer == "NNCG" else {}), verbose=0)
    a, b = map(variables_of, models)
    torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


def test_float32():
    (one, _), (per, _) = pair("dirichlet_ic_operator")
    assert_same_gradients(one, per, rtol=1e-5)


def test_large_weights_in_mixed_precision(mixed_precision):
    """Weights beyond half precision's range are no part of the half-precision evaluation."""
    results = []
    for model_class in (dde.Model, ddb.Model):
        model = model_class(scripts.klein_gordon(), scripts.network())
        model.compile("sgd", lr=1e-8, loss_weights=[1.0, 1e5, 1e5, 1.0], verbose=0)
        before = variables_of(model)
        model.train(iterations=1, verbose=0)
        results.append(variables_of(model) - before)
    assert results[0].abs().max() > 1e-4
    torch.testing.assert_close(results[1], results[0], rtol=0.02, atol=1e-5)


def test_mixed_precision(mixed_precision):
    (one, _), (per, _) = pair("dirichlet_ic_operator")
    for model in (one, per):
        model.train(iterations=4, verbose=0)
    assert one.gradient_engine == "one-pass"
    torch.testing.assert_close(variables_of(one), variables_of(per), rtol=0, atol=1e-4)
    assert variables_of(one).dtype == torch.float32


@pytest.mark.parametrize("feature", [f for f in FEATURES if f not in features.STOCK_DIFFERS])
def test_equal_is_stock_deepxde(feature, float64):
    """The script as it stands, with dde.Model and with ddb.Model: the same parameters."""
    assert_same_as_stock(feature)


def assert_same_as_stock(feature):
    (stock, script), (ours, ours_script) = build(feature, dde.Model), build(feature)
    for model, callbacks in ((stock, script.callbacks), (ours, ours_script.callbacks)):
        dde.config.set_random_seed(13)
        model.train(iterations=20, display_every=7, callbacks=callbacks, verbose=0)
    assert ours.gradient_engine == "one-pass"
    torch.testing.assert_close(variables_of(ours), variables_of(stock), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(
        ours.losshistory.loss_train, stock.losshistory.loss_train, rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("weights", ["keep", "gw-mean"])
def test_a_new_compile_takes_the_new_loss_function(weights, float64):
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-2, loss_weights="gw-std", verbose=0)
    model.train(iterations=2, verbose=0)
    model.compile("adam", lr=1e-2, loss="MAE", loss_weights=weights, verbose=0)
    model.train(iterations=0, verbose=0)
    batch = Batch(*model.data.train_next_batch())
    losses = torch.stack(model.train_step.engine.losses(batch)).detach()
    np.testing.assert_allclose(losses, model.train_state.loss_train)  # DeepXDE's display


def test_the_network_is_in_training_mode_after_a_record(float64):
    """A record puts the network into evaluation mode, in which this one is another function."""
    results = []
    one_pass = {"gradient_engine": "one-pass"}
    ways: list[tuple[Any, dict[str, Any]]] = [(dde.Model, {}), (ddb.Model, one_pass)]
    for model_class, arguments in ways:
        net = scripts.network()
        net.apply_output_transform(lambda x, u, net=net: u if net.training else 2 * u)
        model = model_class(scripts.klein_gordon(), net)
        model.compile("sgd", lr=1e-2, verbose=0, **arguments)
        model.train(iterations=6, display_every=2, verbose=0)
        results.append(scripts.parameters_of(model))
    torch.testing.assert_close(*results, rtol=1e-10, atol=1e-12)
