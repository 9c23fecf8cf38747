"""The one-pass engine against one backward per group on DeepXDE's own losses, for each feature;
and ddb.Model under `equal` against stock dde.Model for the same scripts.
"""

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import features, scripts
from _support.engines import (
    assert_same_gradients,
    build,
    past_the_attributes,
    variables_of,
    weighting_for,
    with_batch_norm,
)
from _support.features import FEATURES, FORWARD

import deepxde_balance as ddb
from deepxde_balance._deepxde.batch import Batch
from deepxde_balance.gradients import choose

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


def test_many_groups_are_one_stack(float64):
    """The network is called once for all groups that compare values, or else once for each."""
    (model, _), _ = pair("many_groups")
    batch = Batch(*model.data.train_next_batch())
    model.train_step(*batch)
    calls = []
    model.net.register_forward_hook(lambda *_: calls.append(1))
    model.train_step.engine.gradients(batch)
    assert len(calls) == 3  # residual, the condition on a derivative, the stack
    calls.clear()
    model.train_step.engine._engine.stacks = False
    model.train_step.engine.gradients(batch)
    assert len(calls) == 8


def test_a_network_that_cannot_be_stacked_goes_group_by_group(float64):
    results = []
    for engine in ("one-pass", "per-group"):
        dde.config.set_random_seed(11)
        script = FEATURES["many_groups"]()
        if engine == "one-pass":
            script.net.register_forward_hook(lambda module, args, u: u + 0 * u.sum().item())
        model = ddb.Model(script.data, script.net)
        model.compile("adam", 1e-2, loss_weights="gw-std", gradient_engine=engine, verbose=0)
        model.train(iterations=3, verbose=0)
        assert model.gradient_engine == engine
        results.append(variables_of(model))
    torch.testing.assert_close(*results, rtol=1e-10, atol=1e-10)


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


# What it must recognise by itself.


def mixing(x, u):
    """A residual that looks at all points at once."""
    return scripts.klein_gordon_residual(x, u) + u.mean()


def mixed_points():
    return scripts.klein_gordon(pde=mixing), scripts.network()


def needs_the_whole_batch():
    """A source that was computed beforehand, at the points that DeepXDE evaluates."""
    data = scripts.klein_gordon(pde=lambda x, u: scripts.klein_gordon_residual(x, u) - source)
    source = torch.as_tensor(np.sin(data.train_x[:, 0:1]))
    return data, scripts.network()


def unknown_in_the_network():
    """An unknown that is the network's parameter, read by the PDE; its gradient is tiny."""
    net = scripts.network()
    net.unknown = torch.nn.Parameter(torch.tensor(0.1))

    def pde(x, u):
        return scripts.klein_gordon_residual(x, u) - 1e4 - net.unknown * u

    return scripts.klein_gordon(pde=pde), net


def network_in_a_condition():
    net = scripts.network()
    middle = torch.full((1, 2), 0.5)
    mean = dde.icbc.OperatorBC(features.STRIP, lambda x, u, _: u + net(middle), features.on)
    ic = dde.icbc.IC(features.STRIP, features.wave, features.on)
    return dde.data.TimePDE(features.STRIP, features.heat, [mean, ic], 20, 10, 10), net


@pytest.mark.parametrize(
    "make, what",
    [
        (mixed_points, "does not give DeepXDE's loss of pde on"),
        (needs_the_whole_batch, "fails where DeepXDE's losses do not .*size of tensor"),
        (past_the_attributes, r"would lose gradients of linears\.0\.weight"),
        (unknown_in_the_network, "would lose gradients of unknown"),
        (network_in_a_condition, r"would lose gradients of linears\.0\.weight"),
    ],
)
@pytest.mark.parametrize("weights", ["gw-std", None])
def test_a_difference_hands_over_with_one_warning(make, what, weights, float64):
    dde.config.set_random_seed(3)
    model = ddb.Model(*make())
    model.compile("adam", lr=1e-2, loss_weights=weights, verbose=0)
    with pytest.warns(UserWarning, match=f"one-pass engine {what}") as caught:
        model.train(iterations=3, verbose=0)
    assert len(caught) == 1
    assert model.gradient_engine == "per-group"
    dde.config.set_random_seed(3)
    reference = ddb.Model(*make())
    reference.compile("adam", lr=1e-2, loss_weights=weights, gradient_engine="per-group", verbose=0)
    reference.train(iterations=3, verbose=0)
    assert torch.equal(scripts.parameters_of(model), scripts.parameters_of(reference))


def test_a_forced_engine_that_does_not_hold_is_an_error(float64):
    model = ddb.Model(scripts.klein_gordon(pde=mixing), scripts.network())
    model.compile("adam", lr=1e-2, loss_weights="db-std", gradient_engine="one-pass", verbose=0)
    with pytest.raises(RuntimeError, match="does not give DeepXDE's loss of pde on"):
        model.train(iterations=1, verbose=0)


def test_a_change_of_points_is_checked(float64):
    """A residual that starts to mix points only once the points are others."""
    data = scripts.klein_gordon(pde=lambda x, u: pde(x, u))
    first_points = data.train_x_all.copy()

    def pde(x, u):
        same = np.array_equal(data.train_x_all, first_points)
        return scripts.klein_gordon_residual(x, u) + (0 if same else u.mean())

    model = ddb.Model(data, scripts.network())
    model.compile("adam", lr=1e-2, loss_weights="db-std", verbose=0)
    model.train(iterations=101, verbose=0)
    assert model.gradient_engine == "one-pass"
    data.resample_train_points(bc_points=False)
    with pytest.warns(UserWarning, match="loss of pde"):
        model.train(iterations=1, verbose=0)
    assert model.gradient_engine == "per-group"


class OwnLosses(dde.data.TimePDE):
    def losses(self, *args, **kwargs):
        return super().losses(*args, **kwargs)


def with_dropout():
    net = scripts.network()
    net.dropout = torch.nn.Dropout(0.1)
    net.apply_feature_transform(net.dropout)
    return scripts.klein_gordon(), net


def with_own_losses():
    data = OwnLosses(
        features.STRIP, features.heat, [dde.icbc.IC(features.STRIP, features.wave, features.on)],
        10, 5, 5,
    )  # fmt: skip
    return data, scripts.network()


@pytest.mark.parametrize(
    "make, why",
    [
        (with_batch_norm, "BatchNorm1d does not act point by point"),
        (with_dropout, "Dropout does not act point by point"),
        (with_own_losses, "OwnLosses has `losses` of its own"),
    ],
)
def test_what_cannot_hold_is_recognised_without_computing(make, why, float64):
    model = ddb.Model(*make())
    model.compile("adam", lr=1e-2, loss_weights="gw-std", verbose=0)
    assert model.gradient_engine == "per-group"
    model.train(iterations=2, verbose=0)
    with pytest.raises(ValueError, match=f"'one-pass' can't be used here: {why}"):
        model.compile("adam", loss_weights="gw-std", gradient_engine="one-pass", verbose=0)


@pytest.mark.parametrize("weights", ["keep", "gw-std"])
def test_a_new_compile_takes_the_new_loss_function(weights, float64):
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-2, loss_weights="gw-std", verbose=0)
    model.train(iterations=2, verbose=0)
    model.compile("adam", lr=1e-2, loss="MAE", loss_weights=weights, verbose=0)
    model.train(iterations=0, verbose=0)
    batch = Batch(*model.data.train_next_batch())
    losses = torch.stack(model.train_step.engine.losses(batch)).detach()
    np.testing.assert_allclose(losses, model.train_state.loss_train)  # DeepXDE's display


@pytest.mark.parametrize("weights", ["gw-std", None])
def test_few_points_take_the_per_group_engine(weights, monkeypatch):
    for limit, name in ((91, "one-pass"), (92, "per-group")):
        monkeypatch.setattr(choose, "FEW_POINTS", limit)
        model = ddb.Model(scripts.klein_gordon(), scripts.network())
        assert len(model.data.train_x) == 91
        model.compile("adam", lr=1e-2, loss_weights=weights, verbose=0)
        assert model.gradient_engine == name
        model.train(iterations=1, verbose=0)
        assert model.gradient_engine == name


def test_keep_takes_another_engine():
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-2, loss_weights="gw-std", verbose=0)
    model.train(iterations=1, verbose=0)
    assert model.gradient_engine == "one-pass"
    model.compile("adam", lr=1e-2, loss_weights="keep", gradient_engine="per-group", verbose=0)
    assert model.gradient_engine == "per-group"


def test_an_unknown_engine():
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    with pytest.raises(ValueError, match=r"gradient_engine 'onepass'. Did you mean 'one-pass'"):
        model.compile("adam", lr=1e-3, gradient_engine="onepass", verbose=0)


@pytest.mark.parametrize("transform", ["feature", "output"])
def test_a_stack_is_not_evaluated_where_there_are_no_points(transform, float64):
    """Four sides with unequal numbers of points, and a logarithm that is infinite at 0."""
    results = []
    for engine in ("one-pass", "per-group"):
        dde.config.set_random_seed(3)
        geom = dde.geometry.Rectangle([1, 1], [2, 2])
        sides = [
            dde.icbc.DirichletBC(
                geom,
                lambda x: x[:, 0:1],
                lambda x, on, k=k, v=v: on and np.isclose(x[k], v),
            )
            for k in (0, 1)
            for v in (1, 2)
        ]
        data = scripts.laplace(geom, sides, num_boundary=30)
        assert len(set(data.num_bcs)) > 1
        net = scripts.network()
        if transform == "feature":
            net.apply_feature_transform(torch.log)
        else:
            net.apply_output_transform(lambda x, u: u * torch.log(2 * x[:, 0:1]))
        model = ddb.Model(data, net)
        model.compile("adam", 1e-2, loss_weights="db-norm", gradient_engine=engine, verbose=0)
        model.train(iterations=3, verbose=0)
        results.append(variables_of(model))
    assert results[0].isfinite().all()
    torch.testing.assert_close(*results, rtol=1e-10, atol=1e-10)
