"""`equal` and a list of numbers against stock dde.Model: the same parameters, the same history."""

import copy
import functools
from typing import Any

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import scripts

import deepxde_balance as ddb

LIST = [0.5, 10.0, 3.0, 2.0]


@pytest.fixture(params=["small", "large"], autouse=True)
def _size(request):
    """As small problems are trained, and as large ones are."""
    if request.param == "large":
        request.getfixturevalue("large_problem")


def run(model_class, net, data, weights, train, **compile_args):
    model = model_class(data, copy.deepcopy(net))
    model.compile(loss_weights=weights, verbose=0, **compile_args)
    dde.config.set_random_seed(7)
    model.train(verbose=0, display_every=5, **train)
    return model


def assert_same(stock, ours):
    np.testing.assert_allclose(
        scripts.parameters_of(ours), scripts.parameters_of(stock), rtol=1e-12, atol=1e-12
    )
    for name in ("steps", "loss_train", "loss_test", "metrics_test"):
        np.testing.assert_allclose(
            getattr(ours.losshistory, name), getattr(stock.losshistory, name), rtol=1e-10
        )
    assert ours.train_state.best_step == stock.train_state.best_step


def compare(weights, optimizer="adam", lr=1e-2, data=None, net=None, train=None, **compile_args):
    data, net = data or scripts.klein_gordon(), net or scripts.network()
    args = dict(optimizer=optimizer, lr=lr, **compile_args)
    train = train or {"iterations": 20}
    stock = run(dde.Model, net, data, None if weights == "equal" else weights, train, **args)
    ours = run(ddb.Model, net, data, weights, train, **args)
    assert_same(stock, ours)
    return ours


WEIGHTS = pytest.mark.parametrize("weights", ["equal", None, LIST], ids=["equal", "None", "list"])


@WEIGHTS
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
def test_first_order_optimizers(weights, optimizer, float64):
    compare(weights, optimizer, lr=1e-3)


@pytest.fixture
def few_lbfgs_iterations(optimizer_options):
    optimizer_options.lbfgs.update(maxiter=20, iter_per_step=10)


@WEIGHTS
def test_lbfgs(weights, float64, few_lbfgs_iterations):
    compare(weights, "L-BFGS", lr=None, train={})


@WEIGHTS
def test_nncg(weights, float64, optimizer_options):
    # With a smaller mu, its steps amplify rounding, on some CPUs to above 1e-11.
    optimizer_options.nncg.update(updatefreq=2, rank=5, cgmaxiter=3, mu=100.0)
    weights = [0.5, 2.0, 1.0, 2.0] if weights == LIST else weights
    compare(weights, "NNCG", lr=None, train={"iterations": 3})


@WEIGHTS
@pytest.mark.parametrize("regularization", [("l1", 1e-3), ("l2", 1e-3)], ids=["l1", "l2"])
def test_regularization(weights, regularization, float64):
    compare(weights, net=scripts.network(regularization=list(regularization)))


@WEIGHTS
def test_adamw_with_decay(weights, float64):
    net = scripts.network(regularization=["l2", 1e-2])
    compare(weights, "adamw", net=net, decay=("step", 5, 0.5))


@WEIGHTS
def test_l1_under_lbfgs(weights, float64, few_lbfgs_iterations):
    compare(weights, "L-BFGS", lr=None, train={}, net=scripts.network(regularization=["l1", 1e-3]))


def with_speed(c):
    def pde(x, u):
        return dde.grad.hessian(u, x, i=1, j=1) - c * dde.grad.hessian(u, x, i=0, j=0) + u**3

    return pde


@WEIGHTS
@pytest.mark.parametrize("optimizer", ["adam", "L-BFGS"])
def test_external_variable(weights, optimizer, float64, few_lbfgs_iterations):
    results = []
    for model_class in (dde.Model, ddb.Model):
        c = dde.Variable(2.0)
        data = scripts.klein_gordon(pde=with_speed(c))
        adam = optimizer == "adam"
        model = run(
            model_class,
            scripts.network(),
            data,
            weights if weights != "equal" or model_class is ddb.Model else None,
            {"iterations": 20} if adam else {},
            optimizer=optimizer,
            lr=1e-2 if adam else None,
            external_trainable_variables=c,
        )
        results.append((model, c.item()))
    assert_same(results[0][0], results[1][0])
    assert results[0][1] == pytest.approx(results[1][1], rel=1e-12)
    assert results[1][1] != 2.0


@WEIGHTS
def test_metrics_and_a_test_set(weights, float64):
    data = scripts.klein_gordon(num_test=50, solution=scripts.exact)
    ours = compare(weights, data=data, metrics=["l2 relative error"])
    assert ours.losshistory.metrics_test[-1]


@WEIGHTS
def test_a_list_of_loss_functions(weights, float64):
    def huber(y_true, y_pred):
        return torch.nn.functional.huber_loss(y_pred, y_true)

    compare(weights, loss=["MSE", "MAE", huber, "mse"])


@WEIGHTS
def test_several_residuals(weights, float64):
    def system(x, u):
        residual = scripts.klein_gordon_residual(x, u)
        return [residual, dde.grad.jacobian(u, x, i=0, j=0)]

    data = scripts.klein_gordon(pde=system)
    compare(weights if weights != LIST else [*LIST, 1.5], data=data)


def test_two_phases(float64, few_lbfgs_iterations):
    data, models = scripts.klein_gordon(), []
    for model_class in (dde.Model, ddb.Model):
        model = model_class(data, scripts.network())
        model.compile("adam", lr=1e-2, loss_weights=LIST, verbose=0)
        model.train(iterations=10, display_every=5, verbose=0)
        keep: Any = LIST if model_class is dde.Model else "keep"
        model.compile("L-BFGS", loss_weights=keep, verbose=0)
        model.train(verbose=0)
        models.append(model)
    assert_same(*models)
    assert list(models[1].weights.values()) == pytest.approx(LIST)


def test_data_without_conditions(float64):
    """Other data classes pass through untouched."""
    func = dde.data.Function(dde.geometry.Interval(-1, 1), np.sin, 16, 16)
    compare(None, data=func, net=scripts.network((1, 8, 1)))
    compare("equal", data=func, net=scripts.network((1, 8, 1)))


def test_compile_leaves_no_trace(float64):
    """Finding the terms touches neither the random states nor batch normalization's averages."""
    net = scripts.network()
    bn: Any = torch.nn.BatchNorm1d(2, dtype=torch.float64)
    net.bn = bn
    net.apply_feature_transform(bn)
    model = ddb.Model(scripts.klein_gordon(), net)
    before = (
        torch.get_rng_state().clone(),
        np.random.get_state(legacy=False)["state"]["key"].copy(),
        bn.running_mean.clone(),
    )
    net.eval()
    model.compile("adam", lr=1e-3, loss_weights="db-mean", verbose=0)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state(legacy=False)["state"]["key"], before[1])
    assert torch.equal(bn.running_mean, before[2])
    assert not net.training


class Hooks(dde.callbacks.Callback):
    """The user's hand on the gradients: DeepXDE's loop has no other place for it."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def on_train_begin(self):
        self.handles = [
            p.register_hook(lambda g: g.clamp(-0.01, 0.01))
            if self.kind == "tensor"
            else p.register_post_accumulate_grad_hook(self.clamp)
            for p in self.model.net.parameters()
        ]

    def clamp(self, p):
        p.grad.clamp_(-0.01, 0.01)

    def on_train_end(self):
        for handle in self.handles:
            handle.remove()


@pytest.mark.parametrize("regularization", [None, ("l1", 1e-2)], ids=["none", "l1"])
@pytest.mark.parametrize("kind", ["tensor", "after accumulation"])
@pytest.mark.parametrize("engine", ["one-pass", "per-group", "compiled"])
def test_hooks_on_parameters(engine, kind, regularization, float64, compilations):
    """An average of weight 0 keeps a strategy's weights at 1: gradients come as in an update."""
    net = scripts.network(regularization=regularization)
    models = []
    for model_class, weights, arguments in (
        (dde.Model, None, {}),
        (ddb.Model, "equal", {"gradient_engine": engine}),
        (ddb.Model, ddb.GW("std", alpha=1e-300, update_every=1), {"gradient_engine": engine}),
    ):
        train = {"iterations": 15, "callbacks": [Hooks(kind)]}
        args = {"optimizer": "sgd", "lr": 1e-2, **arguments}
        models.append(run(model_class, net, scripts.klein_gordon(), weights, train, **args))
    stock, equal, updated = (scripts.parameters_of(model) for model in models)
    torch.testing.assert_close(equal, stock, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(updated, stock, rtol=1e-10, atol=1e-12)
    assert models[1].gradient_engine == models[2].gradient_engine == engine


def interruptible(interrupt, x, u):
    if interrupt[0]:
        raise KeyboardInterrupt
    return scripts.klein_gordon_residual(x, u)


@pytest.mark.parametrize("engine", ["one-pass", "per-group", "compiled"])
def test_training_goes_on_after_an_interrupted_record(engine, float64, compilations):
    """Ctrl-C while DeepXDE evaluates a record, for which it freezes the network."""
    models = []
    for model_class, arguments in ((dde.Model, {}), (ddb.Model, {"gradient_engine": engine})):
        interrupt = [False]
        data = scripts.klein_gordon(pde=functools.partial(interruptible, interrupt))
        args = {"optimizer": "sgd", "lr": 1e-2, **arguments}
        model = run(model_class, scripts.network(), data, None, {"iterations": 4}, **args)
        interrupt[0] = True
        with pytest.raises(KeyboardInterrupt):
            model.train(iterations=4, verbose=0)
        interrupt[0] = False
        model.train(iterations=4, verbose=0)
        models.append(model)
    assert all(p.requires_grad for p in models[1].net.parameters())
    torch.testing.assert_close(*(scripts.parameters_of(m) for m in models), rtol=1e-10, atol=1e-12)
